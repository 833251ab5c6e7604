"""The server that the options ask for."""

import random
from collections.abc import Callable

from flanneld_py.lease.allocate import picker
from flanneld_py.options import Options
from flanneld_py.registry.access import remote_credentials_of
from flanneld_py.registry.choose import open_store
from flanneld_py.server.server import Server

__all__ = ["open_server"]


def open_server(options: Options, *, ready: Callable[[], None]) -> Server:
    """A server that already listens; `ready` is called once it answers. Raises `Fatal`."""
    return Server(
        lambda network: open_store(options, network),
        options.listen,
        pick=lambda public: picker(options.subnet_allocation, public, random.randrange),
        credentials=remote_credentials_of(options),
        networks=options.networks,
        ready=ready,
    )
