"""Which backends there are. A new one is a package beside this module, and a line here."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Final, TypeAlias

from flanneld_py import config
from flanneld_py.backend import Backend
from flanneld_py.backend.kind import BackendKind, NodeContext
from flanneld_py.config.backend import OwnDevices
from flanneld_py.config.model import NetworkConfig
from flanneld_py.options import Options

__all__ = ["KINDS", "PACKAGES", "AnyKind", "load", "open_backend", "own_devices", "parse_config"]

AnyKind: TypeAlias = BackendKind[Any, Any]

PACKAGES: Final = (
    "udp",
    "vxlan",
    "host_gw",
    "alloc",
    "extension",
    "wireguard",
    "ipip",
)
"""Each has its `BackendKind` as KIND. In this order they are listed to users."""


def load(packages: Iterable[str]) -> Mapping[str, AnyKind]:
    """The backends of these packages, by Backend.Type."""
    kinds: list[AnyKind] = [import_module(f"flanneld_py.backend.{package}").KIND for package in packages]
    return {kind.config.type: kind for kind in kinds}


KINDS: Final = load(PACKAGES)


def parse_config(text: str | bytes) -> NetworkConfig:
    """Read a network's configuration. Raises `ConfigError`, which has all problems at once."""
    return config.parse(text, [kind.config for kind in KINDS.values()])


def open_backend(network: NetworkConfig, options: Options, node: NodeContext) -> Backend:
    """What the network's configuration asks for. Raises `Fatal` where this machine cannot have it."""
    kind = KINDS[network.backend.type]
    return kind.open(network, network.backend, kind.taken(options), node)


def own_devices() -> Iterator[OwnDevices]:
    """The devices that any of them makes."""
    for kind in KINDS.values():
        yield from kind.config.devices
