"""What a backend has done since it began, as metrics and the state tell it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["OTHERS", "Flow", "Statistics"]

OTHERS: Final = ""
"""In place of a peer's address: machines that are none, or none any more, together."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Packets and bytes that went one way."""

    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a backend has done since it began.

    `sent` and `received` are by the public address of each machine that is a peer now, and under `OTHERS` of
    all that have left, or where the kernel does not tell peers apart; `dropped` are packets by reason;
    `repairs` are entries of the kernel that were put right. `ways` are what it chose to do, or why it could
    not, by a short name.
    """

    sent: Mapping[str, Flow] = field(default_factory=dict)
    received: Mapping[str, Flow] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    repairs: int = 0
    ways: Mapping[str, str] = field(default_factory=dict)
