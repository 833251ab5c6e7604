"""What a network's configuration says of the alloc backend: nothing. Pure."""

from dataclasses import dataclass
from typing import ClassVar

from flanneld_py.config.backend import BackendConfig

__all__ = ["Alloc"]


@dataclass(frozen=True, slots=True)
class Alloc(BackendConfig):
    """A lease and nothing else."""

    type: ClassVar[str] = "alloc"
    compares_entries: ClassVar[bool] = False
