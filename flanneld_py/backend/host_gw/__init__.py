"""The host-gw backend: plain routes to peers on our own link (flannel's backend/hostgw)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.host_gw.config import HostGw
from flanneld_py.backend.kind import BackendKind, NodeContext, NoOptions
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: HostGw, _: NoOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.host_gw.backend import HostGwBackend

    return HostGwBackend(network, config, node)


KIND: Final = BackendKind(HostGw, NoOptions, _open)
