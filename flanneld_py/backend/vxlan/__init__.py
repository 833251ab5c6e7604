"""The vxlan backend: the kernel encapsulates, by entries that we maintain (flannel's backend/vxlan)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.kind import BackendKind, NodeContext
from flanneld_py.backend.vxlan.config import Vxlan, VxlanOptions
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: Vxlan, options: VxlanOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.vxlan.backend import VxlanBackend

    made = VxlanBackend(network, config, options, node)
    made.try_out()
    return made


KIND: Final = BackendKind(Vxlan, VxlanOptions, _open)
