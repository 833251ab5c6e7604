"""What a capture is made of, as frozen values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = [
    "ETHERNET",
    "RAW",
    "SNAPLEN",
    "Asked",
    "Counts",
    "Happening",
    "Output",
    "Packet",
    "Place",
    "Said",
    "Wanted",
]

ETHERNET, RAW = 1, 101
"""Link types (https://www.tcpdump.org/linktypes.html): with an Ethernet header; an IP packet alone."""

SNAPLEN = 262_144
"""Bytes of a packet at most, as tcpdump has it: more than the kernel ever makes of one."""

IN, OUT = 1, 2
"""The directions in a packet's flags, as pcapng has them."""


@dataclass(frozen=True, slots=True)
class Place:
    """A device at which packets are seen."""

    name: str
    """NODE/DEVICE or `pod POD`."""
    link_type: int
    description: str = ""
    rank: int = 0
    """Of two places that see a packet at the same moment, the one with the lower rank saw it first."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet, as one place has seen it."""

    at: int
    """Nanoseconds since 1970, by the machines' clock; of several engines, by the first one's."""
    place: Place
    data: bytes
    length: int
    """Bytes that it had; `data` may be less of it."""
    flags: int = 0
    """epb_flags of pcapng: its direction, and whom it was for."""

    @property
    def direction(self) -> str:
        """In or out, as its machine sees it."""
        return {IN: "in", OUT: "out"}.get(self.flags & 3, "")


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened meanwhile: a fault, a lease."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a place."""

    seen: int = 0
    """Packets that the filter let pass."""
    dropped: int = 0
    """Those of them for which the kernel had no room."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.seen + other.seen, self.dropped + other.dropped)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is captured on one machine."""

    devices: tuple[str, ...] | None = ()
    """None: every one, also those that come; but for the loopback device."""
    pods: tuple[str, ...] | None = ()
    """By their names. None: every one, also those that come."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How packets are captured, everywhere."""

    filters: Mapping[int, Sequence[Sequence[int]]]
    """By link type, the filter's instructions; without any, no packet of that type is wanted."""
    snaplen: int = SNAPLEN
    seconds: float | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a machine has told, or what has become of it."""

    node: str
    kind: str
    """`packets`, `place`, `fault`, `etcd`, `counts`: as `what` is.

    `until`: everything before `at` is told. `ready`: all places are there. `down`: nothing more comes for
    now. `over`: it is ended, or cannot be captured, and `what` says why. `containers`: how all machines are.
    """
    at: int = 0
    what: Any = None


class Output(Protocol):
    """What becomes of what was captured."""

    def place(self, place: Place) -> None:
        """A place that packets may come from."""

    def packets(self, found: Sequence[tuple[Packet, tuple[str, ...]]]) -> None:
        """Packets in their order, each with what happened just before it."""

    def happened(self, comments: Sequence[str]) -> bool:
        """What no packet has followed yet; whether it has been told, so that none has to bear it."""

    def end(self, counts: Mapping[Place, Counts], comments: Sequence[str]) -> None:
        """All is over; what each place came to, and what happened after the last packet."""
