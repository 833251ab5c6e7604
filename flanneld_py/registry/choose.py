"""The registry that the options ask for; its package is imported only then."""

from importlib import import_module
from typing import Final, Protocol, cast

from flanneld_py.options import Options
from flanneld_py.registry import Registry
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.registry.location import Location

__all__ = ["location", "open_registry", "open_store"]

_PACKAGES: Final = {
    "v3": "flanneld_py.registry.etcd",
    "v2": "flanneld_py.registry.etcd2",
    "remote": "flanneld_py.registry.remote",
}
"""One line for each kind of registry."""


class _Package(Protocol):
    """What each of these packages has."""

    def open_registry(self, options: Options, network: str = "") -> Registry:
        """See below; connects to nothing yet."""

    def location(self, options: Options, network: str = "") -> Location:
        """See below."""


def open_registry(options: Options, network: str = "") -> Registry:
    """The registry of one network, by its name in -networks; empty for the only one. Raises `Fatal`."""
    return _package(_kind(options)).open_registry(options, network)


def open_store(options: Options, network: str = "") -> LeaseStore:
    """Likewise, of etcd itself."""
    return cast(LeaseStore, _package(options.etcd_api).open_registry(options, network))


def location(options: Options, network: str = "") -> Location:
    """Where that registry keeps what belongs to the network."""
    return _package(_kind(options)).location(options, network)


def _kind(options: Options) -> str:
    return "remote" if options.remote else options.etcd_api


def _package(kind: str) -> _Package:
    return cast(_Package, import_module(_PACKAGES[kind]))
