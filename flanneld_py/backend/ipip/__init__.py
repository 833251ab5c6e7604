"""The ipip backend: IPv4 in IPv4, where the kernel has it (flannel's backend/ipip)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.ipip.config import Ipip
from flanneld_py.backend.kind import BackendKind, NodeContext, NoOptions
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: Ipip, _: NoOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.ipip.backend import IpipBackend

    return IpipBackend(network, config, node)


KIND: Final = BackendKind(Ipip, NoOptions, _open)
