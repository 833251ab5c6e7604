"""The lab's images and its seed volume: which are wanted, which are there, and making what is missing."""

from lab.images.build_context import NAMES, write_context
from lab.images.carrying import carry
from lab.images.images import (
    Images,
    Listed,
    ensure,
    listing,
    remove,
    require_unused,
    stale_or_missing,
    sweep,
    wanted,
)

__all__ = [
    "NAMES",
    "Images",
    "Listed",
    "carry",
    "ensure",
    "listing",
    "remove",
    "require_unused",
    "stale_or_missing",
    "sweep",
    "wanted",
    "write_context",
]
