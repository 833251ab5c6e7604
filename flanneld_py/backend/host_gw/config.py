"""What a network's configuration says of the host-gw backend: nothing. Pure."""

from dataclasses import dataclass
from typing import ClassVar

from flanneld_py.config.backend import BackendConfig

__all__ = ["HostGw"]


@dataclass(frozen=True, slots=True)
class HostGw(BackendConfig):
    """Plain routes by the nodes' own addresses."""

    type: ClassVar[str] = "host-gw"
