"""What all peers together want of the kernel, kept up to date peer by peer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from flanneld_py.kernel.entries import Add, Change, Entry, Remove, Slot, slot
from flanneld_py.subnet import Subnet

__all__ = ["Ledger", "Shared"]


@dataclass(frozen=True, slots=True)
class Shared:
    """Two peers want different things of one slot of the kernel: `winner` has it, for it came last."""

    winner: Subnet
    loser: Subnet
    entry: Entry
    instead_of: Entry


class Ledger:
    """Every peer's entries, and of those the one that holds in each slot: `wanted`.

    Where two peers want the same slot (a cloned machine announces the MAC of the original, a lease of the
    past still names an address), the one that came last has it; when that one goes, the other gets it back.
    """

    def __init__(self) -> None:
        self.wanted: dict[Slot, Entry] = {}
        self._peers: dict[Subnet, tuple[Entry, ...]] = {}
        self._owners: dict[Slot, Subnet] = {}
        self._waiting: dict[Slot, dict[Subnet, Entry]] = {}  # those who want a slot that another peer has
        self._before: dict[Slot, Entry | None] = {}

    def put(self, peer: Subnet, entries: Sequence[Entry]) -> tuple[Shared, ...]:
        """The peer's entries are these, whatever they were; which others it thereby outdoes."""
        self.remove(peer)
        if not entries:
            return ()
        self._peers[peer] = tuple(entries)
        shared = []
        for entry in entries:
            where = slot(entry)
            self._touch(where)
            owner = self._owners.get(where)
            if owner is not None and owner != peer:
                other = self.wanted[where]
                self._waiting.setdefault(where, {})[owner] = other
                if other != entry:
                    shared.append(Shared(peer, owner, entry, other))
            self.wanted[where], self._owners[where] = entry, peer
        return tuple(shared)

    def remove(self, peer: Subnet) -> None:
        """The peer wants nothing any more."""
        for entry in self._peers.pop(peer, ()):
            where = slot(entry)
            waiting = self._waiting.get(where, {})
            if self._owners.get(where) != peer:
                waiting.pop(peer, None)
            else:
                self._touch(where)
                if waiting:
                    self._owners[where], self.wanted[where] = waiting.popitem()
                else:
                    del self._owners[where], self.wanted[where]
            if where in self._waiting and not waiting:
                del self._waiting[where]

    def changes(self) -> tuple[Change, ...]:
        """What to do to a kernel that had all of it when this was last asked.

        What is new comes before what goes, so that a peer which moves is never without a way.
        """
        before, self._before = self._before, {}
        puts: list[Change] = []
        deletes: list[Change] = []
        for where, old in before.items():
            new = self.wanted.get(where)
            if new is not None and new != old:
                puts.append(Add(new))
            elif new is None and old is not None:
                deletes.append(Remove(old))
        return (*puts, *reversed(deletes))

    def _touch(self, where: Slot) -> None:
        self._before.setdefault(where, self.wanted.get(where))
