"""What all peers together want of the kernel, kept up to date peer by peer. Pure."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from flanneld_py.kernel.entries import Add, Change, Entry, Remove, Slot, slot
from flanneld_py.subnet import Subnet

__all__ = ["Ledger", "Shared", "Wants"]

S = TypeVar("S", bound=Hashable)
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Shared(Generic[E]):
    """Two peers want different things of one slot of the kernel: `winner` has it, for it came last."""

    winner: Subnet
    loser: Subnet
    entry: E
    instead_of: E


class Wants(Generic[S, E]):
    """Every peer's entries, and of those the one that holds in each slot: `wanted`.

    `slot_of` says in which slot an entry is. Where two peers want the same one (a cloned machine announces
    the MAC or the key of the original, a lease of the past still names an address), the one that came last
    has it; when that one goes, the other gets it back.
    """

    def __init__(self, slot_of: Callable[[E], S]) -> None:
        self._slot_of = slot_of
        self.wanted: dict[S, E] = {}
        self._peers: dict[Subnet, tuple[E, ...]] = {}
        self._owners: dict[S, Subnet] = {}
        self._waiting: dict[S, dict[Subnet, E]] = {}  # those who want a slot that another peer has
        self._before: dict[S, E | None] = {}

    def put(self, peer: Subnet, entries: Sequence[E]) -> tuple[Shared[E], ...]:
        """The peer's entries are these, whatever they were; which others it thereby outdoes."""
        self.remove(peer)
        if not entries:
            return ()
        self._peers[peer] = tuple(entries)
        shared = []
        for entry in entries:
            where = self._slot_of(entry)
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
            where = self._slot_of(entry)
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

    def differences(self) -> tuple[tuple[E, ...], tuple[E, ...]]:
        """What is new, and what goes, since this was last asked."""
        before, self._before = self._before, {}
        new: list[E] = []
        gone: list[E] = []
        for where, old in before.items():
            now = self.wanted.get(where)
            if now is not None and now != old:
                new.append(now)
            elif now is None and old is not None:
                gone.append(old)
        return tuple(new), tuple(reversed(gone))

    def _touch(self, where: S) -> None:
        self._before.setdefault(where, self.wanted.get(where))


class Ledger(Wants[Slot, Entry]):
    """What is wanted of routes, neighbours and FDB entries."""

    def __init__(self) -> None:
        super().__init__(slot)

    def changes(self) -> tuple[Change, ...]:
        """What to do to a kernel that had all of it when this was last asked.

        What is new comes before what goes, so that a peer which moves is never without a way.
        """
        new, gone = self.differences()
        return (*map(Add, new), *map(Remove, gone))
