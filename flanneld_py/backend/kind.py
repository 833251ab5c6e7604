"""What a backend's package tells of it: how it is configured, which options it takes, how it is made."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

from flanneld_py.backend import Backend
from flanneld_py.config.backend import BackendConfig
from flanneld_py.config.model import NetworkConfig
from flanneld_py.lease.validation import ProtectedAddresses
from flanneld_py.options import Options
from flanneld_py.subnet import Addresses
from flanneld_py.underlay.interface import Interface

__all__ = ["BackendKind", "NoOptions", "NodeContext"]

C = TypeVar("C", bound=BackendConfig)
O = TypeVar("O")  # noqa: E741 (the options)


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What this node gives a backend, whichever it is.

    `public` are the addresses that peers are told. `needs` tells, at once, which addresses this machine has
    and needs. `announcements`: the registry has a place for what peers say beside their leases. `alone`: this
    network is the only one of this flanneld.
    """

    interface: Interface
    public: Addresses
    needs: Callable[[], ProtectedAddresses] = ProtectedAddresses
    announcements: bool = True
    alone: bool = True


@dataclass(frozen=True, slots=True)
class NoOptions:
    """Those of a backend that takes none."""


@dataclass(frozen=True, slots=True)
class BackendKind(Generic[C, O]):
    """A backend. Its package imports what carries packets only when `open` is called.

    `options` is a dataclass of those options that it takes, by their names in `Options`. `open` raises
    `Fatal` where this machine cannot have it.
    """

    config: type[C]
    options: type[O]
    open: Callable[[NetworkConfig, C, O, NodeContext], Backend]

    def taken(self, options: Options) -> O:
        """Of all options, those that it takes."""
        names = [each.name for each in fields(self.options)]  # type: ignore[arg-type]
        return self.options(**{name: getattr(options, name) for name in names})
