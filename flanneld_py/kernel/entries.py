"""What makes the kernel carry packets to peers: routes, neighbours and FDB entries. Pure.

FDB: the forwarding database of a vxlan device, which says behind which machine a MAC is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from flanneld_py.subnet import Address, Network

__all__ = [
    "BLACKHOLE",
    "KERNEL",
    "PROTOCOL",
    "Add",
    "Change",
    "Entry",
    "FdbEntry",
    "Neighbour",
    "Remove",
    "Route",
    "SeenEntry",
    "Slot",
]
__all__ += ["plan", "slot"]

PROTOCOL: Final = 0xF1
"""Marks routes (rtm_protocol) and neighbours (NDA_PROTOCOL) as ours, where `ip` shows it as "proto 241".

FDB entries have no such field; they are marked by NTF_EXT_LEARNED, which `bridge` shows as "extern_learn".
"""

BLACKHOLE: Final = 0xF2
"""Marks routes on which packets end (-ip-blackhole-route); those to peers go when no lease asks for them."""
KERNEL: Final = 2
"""RTPROT_KERNEL of linux/rtnetlink.h: marks the route to its network that comes with an address."""


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route of the main table; without gateway the destination is on the device's own link.

    `onlink` has the kernel believe that the gateway is on the link. `metric` 0 is the kernel's default of the
    family. `protocol` tells whose it is. Of what others made and this cannot express (several next hops, say)
    the device is 0.
    """

    destination: Network
    device: int
    gateway: Address | None = None
    source: Address | None = None
    onlink: bool = False
    metric: int = 0
    protocol: int = PROTOCOL

    def __str__(self) -> str:
        parts = [f"route {self.destination}"]
        parts += [f"via {self.gateway}"] if self.gateway is not None else []
        parts += [f"dev #{self.device}"] if self.device else []
        parts += [f"src {self.source}"] if self.source is not None else []
        parts += [f"metric {self.metric}"] if self.metric else []
        return " ".join([*parts, "onlink"] if self.onlink else parts)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """The MAC (lower case, colons) of an address on a device's link; permanent."""

    device: int
    address: Address
    mac: str

    def __str__(self) -> str:
        return f"neighbour {self.address} lladdr {self.mac} dev #{self.device}"


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """Frames of a vxlan device to this MAC (lower case, colons) go to that machine; permanent."""

    device: int
    mac: str
    remote: Address

    def __str__(self) -> str:
        return f"FDB entry {self.mac} dst {self.remote} dev #{self.device}"


Entry: TypeAlias = Route | Neighbour | FdbEntry

Slot: TypeAlias = Network | tuple[int, Address] | tuple[int, str]
"""What the kernel has one entry for, or should: destination, device and address, device and MAC."""


def slot(entry: Entry) -> Slot:
    """Where it belongs."""
    if isinstance(entry, Route):
        return entry.destination
    if isinstance(entry, Neighbour):
        return entry.device, entry.address
    return entry.device, entry.mac


@dataclass(frozen=True, slots=True)
class SeenEntry:
    """An entry that the kernel has; `ours` if it bears our mark.

    `altered`: it differs from what we would make in something that `entry` does not express.
    """

    entry: Entry
    ours: bool
    altered: bool = False


@dataclass(frozen=True, slots=True)
class Add:
    """Have this, whatever was in its slot."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Remove:
    """Have this no more; that it is not there already is no failure."""

    entry: Entry


Change: TypeAlias = Add | Remove


def plan(wanted: Mapping[Slot, Entry], seen: Iterable[SeenEntry]) -> tuple[Change, ...]:
    """What makes the kernel have exactly what is wanted, and what others made in no wanted slot.

    What is ours and not wanted goes first, routes before what they need. Then comes what is missing or
    different, what a route needs before the route. Nothing to do: an empty tuple.
    """
    found: dict[Slot, list[SeenEntry]] = {}
    stale: list[Change] = []
    for item in seen:
        where = slot(item.entry)
        if where in wanted:
            found.setdefault(where, []).append(item)
        elif item.ours:
            stale.append(Remove(item.entry))
    changes: list[tuple[Change, ...]] = []
    for where, entry in wanted.items():
        there = found.get(where)
        if there is None:
            changes.append((Add(entry),))
        elif len(there) > 1 or not _same(there[0], entry):
            changes.append(_instead(entry, there))
    stale.sort(key=lambda change: _rank(change.entry))
    changes.sort(key=lambda group: -_rank(group[0].entry))
    return (*stale, *(change for group in changes for change in group))


def _same(seen: SeenEntry, wanted: Entry) -> bool:
    return seen.ours and not seen.altered and seen.entry == wanted


def _instead(wanted: Entry, there: list[SeenEntry]) -> tuple[Change, ...]:
    """Have the one and none of the others. Deleting what is already replaced is no failure."""
    others = [item for item in there if not _same(item, wanted)]
    if isinstance(wanted, FdbEntry):
        # vxlan_fdb_update_existing (drivers/net/vxlan) never marks an entry that was there without the mark.
        if all(item.ours and not item.altered for item in others):
            return (Add(wanted),)
        return (*(Remove(item.entry) for item in others), Add(wanted))
    if isinstance(wanted, Neighbour):
        return (Add(wanted),)
    # A route takes the place of one of the same metric at once. Where there are several of that metric,
    # nobody can say of which, so they go first.
    rivals = [item for item in others if _metric(item.entry) == wanted.metric]
    away = tuple(Remove(item.entry) for item in rivals)
    apart = tuple(Remove(item.entry) for item in others if item not in rivals)
    if len(others) < len(there):  # what is wanted is there
        return (*away, Add(wanted), *apart) if away else apart
    return (Add(wanted), *apart) if len(away) < 2 else (*away, Add(wanted), *apart)


def _metric(entry: Entry) -> int:
    return entry.metric if isinstance(entry, Route) else 0


def _rank(entry: Entry) -> int:
    return 0 if isinstance(entry, Route) else 1 if isinstance(entry, Neighbour) else 2
