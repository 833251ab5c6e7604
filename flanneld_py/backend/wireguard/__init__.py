"""The wireguard backend: encrypted, where the kernel has it (flannel's backend/wireguard)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.kind import BackendKind, NodeContext, NoOptions
from flanneld_py.backend.wireguard.config import Wireguard
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: Wireguard, _: NoOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.wireguard.backend import WireguardBackend

    return WireguardBackend(network, config, node)


KIND: Final = BackendKind(Wireguard, NoOptions, _open)
