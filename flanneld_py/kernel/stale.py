"""Stale entries, left in the kernel by earlier runs with another Network or backend. Pure.

All flannelds mark their entries in the same way; several may run on a machine, and one may carry several
networks. Therefore each leaves a note of its networks, which outlives it as its entries do. A marked entry
belongs to the owner of the smallest noted network that contains it; one without an owner is stale.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from flanneld_py.kernel.entries import Entry, FdbEntry, Neighbour, Route, SeenEntry, Slot, slot
from flanneld_py.subnet import Network, Subnet

__all__ = ["Note", "is_anothers", "is_within", "stale_entries"]


@dataclass(frozen=True, slots=True)
class Note:
    """A record that the flanneld `owner` of this machine carries this network, or did when it last ran."""

    network: Network
    owner: int


def stale_entries(
    seen: Iterable[SeenEntry],
    notes: Iterable[Note],
    owner: int,
    carried: Subnet | None,
    wanted: Container[Slot] = (),
) -> tuple[Entry, ...]:
    """Return the marked entries that no flanneld of this machine wants any more, routes first.

    `carried` is the overlay whose entries our backend reconciles with its leases itself. None if the backend
    creates no entries: then those in our own network are a former backend's, unless they are `wanted` by the
    present one.
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
    """Whether the smallest noted network that contains this one belongs to another owner."""
    around = [note for note in notes if is_within(network, note.network)]
    longest = max((note.network.prefixlen for note in around), default=0)
    owners = {note.owner for note in around if note.network.prefixlen == longest}
    return bool(owners) and owner not in owners


def is_within(network: Network, whole: Network) -> bool:
    """Whether `network` is contained in `whole`."""
    if network.version != whole.version or network.prefixlen < whole.prefixlen:
        return False
    return network.network_address in whole


def _where(entry: Entry) -> Network | None:
    match entry:
        case Route(destination=destination):
            return destination
        case Neighbour(address=address):
            return ip_network(address)
        case FdbEntry():  # it contains no overlay address
            return None
