"""The alloc backend: a lease, and packets are somebody else's business (flannel's backend/alloc)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.alloc.config import Alloc
from flanneld_py.backend.kind import BackendKind, NodeContext, NoOptions
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: Alloc, _: NoOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.alloc.backend import AllocBackend

    return AllocBackend(network, config, node)


KIND: Final = BackendKind(Alloc, NoOptions, _open)
