"""The kernel entries that carry packets to peers: routes, neighbours and FDB entries. Pure.

FDB: the forwarding database of a vxlan device, which maps a MAC to the machine behind which it is.
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
"""Protocol number that marks routes (rtm_protocol) and neighbours (NDA_PROTOCOL) as ours.

`ip` shows it as "proto 241". FDB entries have no such field; they are marked with NTF_EXT_LEARNED, which
`bridge` shows as "extern_learn".
"""

BLACKHOLE: Final = 0xF2
"""Protocol number of blackhole routes (-ip-blackhole-route), which belong to no lease, unlike PROTOCOL's."""
KERNEL: Final = 2
"""RTPROT_KERNEL of linux/rtnetlink.h: marks the connected route that an address brings."""


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route of the main table; without a gateway the destination is on-link.

    `onlink` makes the kernel assume that the gateway is on-link. `metric` 0 is the kernel's default for the
    address family. `protocol` tells who made the route. A route of others that cannot be expressed here (with
    several next hops, for example) has device 0.
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
    """A permanent neighbour entry: the MAC (lower case, with colons) of an address on a device's link."""

    device: int
    address: Address
    mac: str

    def __str__(self) -> str:
        return f"neighbour {self.address} lladdr {self.mac} dev #{self.device}"


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """A permanent FDB entry: frames for this MAC (lower case, with colons) are sent to `remote`."""

    device: int
    mac: str
    remote: Address

    def __str__(self) -> str:
        return f"FDB entry {self.mac} dst {self.remote} dev #{self.device}"


Entry: TypeAlias = Route | Neighbour | FdbEntry

Slot: TypeAlias = Network | tuple[int, Address] | tuple[int, str]
"""Identifies an entry: destination, device and address, or device and MAC; each should exist only once."""


def slot(entry: Entry) -> Slot:
    """Return the slot of an entry."""
    if isinstance(entry, Route):
        return entry.destination
    if isinstance(entry, Neighbour):
        return entry.device, entry.address
    return entry.device, entry.mac


@dataclass(frozen=True, slots=True)
class SeenEntry:
    """An entry found in the kernel; `ours` if it carries our mark.

    `altered`: it differs from what we would create in a way that `entry` does not express.
    """

    entry: Entry
    ours: bool
    altered: bool = False


@dataclass(frozen=True, slots=True)
class Add:
    """Add this entry, replacing whatever is in its slot."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove this entry; it is not an error if it is absent."""

    entry: Entry


Change: TypeAlias = Add | Remove


def plan(wanted: Mapping[Slot, Entry], seen: Iterable[SeenEntry]) -> tuple[Change, ...]:
    """Compute the changes that leave exactly the wanted entries, besides others' entries in other slots.

    Stale entries of ours are removed first, routes before what they depend on. Then missing and different
    entries are added, again what a route depends on before the route. Empty if there is nothing to do.
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
    """Replace the entries in a slot with the wanted one. Deleting a replaced one is no error."""
    others = [item for item in there if not _same(item, wanted)]
    if isinstance(wanted, FdbEntry):
        # vxlan_fdb_update_existing (drivers/net/vxlan) never adds the mark to an existing entry without it.
        if all(item.ours and not item.altered for item in others):
            return (Add(wanted),)
        return (*(Remove(item.entry) for item in others), Add(wanted))
    if isinstance(wanted, Neighbour):
        return (Add(wanted),)
    # Adding a route atomically replaces one of the same metric. If there are several of that metric it is
    # undefined which, so they are removed first.
    rivals = [item for item in others if _metric(item.entry) == wanted.metric]
    away = tuple(Remove(item.entry) for item in rivals)
    apart = tuple(Remove(item.entry) for item in others if item not in rivals)
    if len(others) < len(there):  # the wanted entry exists
        return (*away, Add(wanted), *apart) if away else apart
    return (Add(wanted), *apart) if len(away) < 2 else (*away, Add(wanted), *apart)


def _metric(entry: Entry) -> int:
    return entry.metric if isinstance(entry, Route) else 0


def _rank(entry: Entry) -> int:
    return 0 if isinstance(entry, Route) else 1 if isinstance(entry, Neighbour) else 2
