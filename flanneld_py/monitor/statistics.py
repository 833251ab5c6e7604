"""Statistics of a backend, as reported in metrics and state."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

__all__ = ["OTHERS", "Flow", "Statistics"]

OTHERS: Final = ""
"""Stands for a peer's address: all machines that are not, or no longer, peers."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets and bytes in one direction."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of a backend since it started.

    `sent` and `received` are keyed by the public address of each current peer, with `OTHERS` for all former
    peers, or for everything where the kernel does not count by peer. `dropped` are packets by reason,
    `repairs` the kernel entries that were repaired. `ways` describes, under short names, how the backend
    carries packets, or why it could not do so another way.
    """

    sent: Mapping[str, Flow] = field(default_factory=dict)
    received: Mapping[str, Flow] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    repairs: int = 0
    ways: Mapping[str, str] = field(default_factory=dict)

    def with_dropped(self, dropped: Mapping[str, int]) -> "Statistics":
        """These and more dropped packets, by other reasons."""
        return replace(self, dropped={**self.dropped, **dropped})
