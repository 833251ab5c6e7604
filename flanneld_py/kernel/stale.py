"""What this machine's flannelds left in the kernel in a former life: with another Network or backend. Pure.

Every flanneld marks its entries in the same way, and several may share a machine, or one may carry several
networks. So each has a note of the networks that it has, which outlives it as its entries do, and a marked
entry belongs to whoever has noted the smallest network around it. One that nobody has is of a former life.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from flanneld_py.kernel.entries import Entry, FdbEntry, Neighbour, Route, SeenEntry, Slot, slot
from flanneld_py.subnet import Network, Subnet

__all__ = ["Note", "is_anothers", "is_within", "stale_entries"]


@dataclass(frozen=True, slots=True)
class Note:
    """A flanneld of this machine, `owner`, carries this network, or did when it ran last."""

    network: Network
    owner: int


def stale_entries(
    seen: Iterable[SeenEntry],
    notes: Iterable[Note],
    owner: int,
    carried: Subnet | None,
    wanted: Container[Slot] = (),
) -> tuple[Entry, ...]:
    """The marked entries that no flanneld of this machine wants any more, routes first.

    `carried` is the overlay whose entries our backend compares with its leases by itself; None if it makes
    none, so that those of our own network are of a former backend, unless they are `wanted` by today's.
    """
    there = tuple(notes)
    found: list[Entry] = []
    for item in seen:
        where = _where(item.entry)
        if not item.ours or where is None or slot(item.entry) in wanted or is_anothers(where, there, owner):
            continue
        if carried is None or not any(is_within(where, whole) for whole in carried.networks):
            found.append(item.entry)
    return tuple(sorted(found, key=lambda entry: not isinstance(entry, Route)))


def is_anothers(network: Network, notes: Iterable[Note], owner: int) -> bool:
    """Whether the smallest network around it is noted, but not by this owner."""
    around = [note for note in notes if is_within(network, note.network)]
    longest = max((note.network.prefixlen for note in around), default=0)
    owners = {note.owner for note in around if note.network.prefixlen == longest}
    return bool(owners) and owner not in owners


def is_within(network: Network, whole: Network) -> bool:
    """Whether all of it is of this one."""
    if network.version != whole.version or network.prefixlen < whole.prefixlen:
        return False
    return network.network_address in whole


def _where(entry: Entry) -> Network | None:
    match entry:
        case Route(destination=destination):
            return destination
        case Neighbour(address=address):
            return ip_network(address)
        case FdbEntry():  # it names no address of the overlay
            return None
