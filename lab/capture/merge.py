"""Packets of several machines in the order of time, and what happened between them. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.capture.model import Happening, Packet

__all__ = ["SILENT", "Commented", "Item", "Progress", "commented", "due", "settled"]

SILENT = 1.0
"""Seconds without a word from a machine, after which the others' packets do not wait for it."""

Item = Packet | Happening
Commented = tuple[Packet, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a machine has told."""

    until: int
    """All that it saw before this time, it has told."""
    heard: float
    """When it said so, by our own clock, in seconds."""


def settled(told: Mapping[str, Progress], now: float) -> int:
    """The time before which nothing more is to come, but from a machine that stands still."""
    awake = [item.until for item in told.values() if now - item.heard < SILENT]
    return min(awake or [item.until for item in told.values()], default=0)


def due(waiting: Iterable[Item], until: int | None) -> tuple[list[Item], list[Item]]:
    """Those before this time, in their order, and the rest; all of them without a time.

    What comes too late comes at once: the order is of what is there.
    """
    in_order = sorted(waiting, key=_key)
    if until is None:
        return in_order, []
    ready = next((index for index, item in enumerate(in_order) if item.at >= until), len(in_order))
    return in_order[:ready], in_order[ready:]


def _key(item: Item) -> tuple[int, int]:
    return item.at, item.place.rank if isinstance(item, Packet) else -1


def commented(items: Sequence[Item], pending: Sequence[str]) -> tuple[list[Commented], tuple[str, ...]]:
    """Each packet with what happened just before it, and what no packet has followed yet."""
    found: list[Commented] = []
    comments = list(pending)
    for item in items:
        if isinstance(item, Happening):
            comments.append(item.text)
        else:
            found.append((item, tuple(comments)))
            comments.clear()
    return found, tuple(comments)
