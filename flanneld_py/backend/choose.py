"""The backend that a network's configuration asks for; its module is imported only then."""

from flanneld_py.backend import Backend
from flanneld_py.config.model import NetworkConfig, Udp
from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Interface
from flanneld_py.subnet import Addresses

__all__ = ["open_backend"]


def open_backend(network: NetworkConfig, interface: Interface, public: Addresses) -> Backend:
    """Make it. Raises `Fatal` where this machine cannot have it."""
    match network.backend:
        case Udp() as udp:
            from flanneld_py.backend.udp import UdpBackend

            return UdpBackend(network, udp, interface, public)
        case other:
            raise Fatal(f"Backend.Type {other.type} is not supported by this version", code=Exit.CONFIG)
