"""The udp backend: a TUN device, and each packet as it is in one UDP datagram (flannel's backend/udp)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.kind import BackendKind, NodeContext
from flanneld_py.backend.udp.config import Udp, UdpOptions
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: Udp, options: UdpOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.udp.backend import UdpBackend

    return UdpBackend(network, config, options, node)


KIND: Final = BackendKind(Udp, UdpOptions, _open)
