"""The extension backend: the user's own commands do the work (flannel's backend/extension)."""

from typing import Final

from flanneld_py.backend import Backend
from flanneld_py.backend.extension.config import Extension
from flanneld_py.backend.kind import BackendKind, NodeContext, NoOptions
from flanneld_py.config.model import NetworkConfig

__all__ = ["KIND"]


def _open(network: NetworkConfig, config: Extension, _: NoOptions, node: NodeContext) -> Backend:
    from flanneld_py.backend.extension.backend import ExtensionBackend

    return ExtensionBackend(network, config, node)


KIND: Final = BackendKind(Extension, NoOptions, _open)
