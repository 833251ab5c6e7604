"""`flanneld -listen`: leases for `flanneld -remote`, over HTTP, as v0.5.5's server serves them."""

from flanneld_py.server.open import open_server
from flanneld_py.server.server import Server

__all__ = ["Server", "open_server"]
