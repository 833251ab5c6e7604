"""What has happened to a network's leases: for clients that know all of it up to some revision."""

import math
from collections import deque
from collections.abc import Iterable

from flanneld_py.lease.model import StoredLease
from flanneld_py.registry import LeaseAdded, LeaseEvent, LeaseRemoved, Snapshot
from flanneld_py.subnet import Subnet

__all__ = ["History"]


class History:
    """The last events, each with its revision; `longest` is how many are kept.

    Up to the revision `head` all events are known. `listed` is the last that anybody can know, by a list or
    by events. `restored` is how often the registry went back to an older state: what was known before counts
    no more, even where revisions are as high again.
    """

    def __init__(self, snapshot: Snapshot, *, longest: int = 10_000) -> None:
        self._longest = longest
        self.restored = 0
        self._begin(snapshot)

    def _begin(self, snapshot: Snapshot) -> None:
        self.head = self.listed = self._base = snapshot.revision
        self._events: deque[tuple[int, LeaseEvent]] = deque()
        self._known = {_name(LeaseAdded(held)): held for held in snapshot.leases}

    def take(self, events: Iterable[LeaseEvent]) -> None:
        """What a watch has told."""
        for event in events:
            if isinstance(event, LeaseAdded):
                self._known[_name(event)] = event.held
                self._add(event.held.revision, event)
            else:
                self._known.pop(_name(event), None)
                self._add(event.revision, event)

    def glance(self, snapshot: Snapshot, listed: int) -> bool:
        """All leases, while a watch goes on that is still to tell what differs; whether it is a restoration.

        Then what that watch may yet tell is of before it. `listed` is what it was before the list was asked
        for: the watch may have told of more meanwhile.
        """
        if restored := snapshot.revision < listed:
            self._restore(snapshot)
        self.listed = max(self.listed, snapshot.revision)
        return restored

    def relist(self, snapshot: Snapshot) -> None:
        """All leases, after a watch has ended: what differs has happened meanwhile, however it did.

        A registry was restored if its revision is lower than the last, or if what differs is not newer than
        what was known: then nothing from before counts.
        """
        present: dict[tuple[Subnet, str], StoredLease] = {
            _name(LeaseAdded(held)): held for held in snapshot.leases
        }
        gone = [
            LeaseRemoved(subnet, snapshot.revision, name)
            for subnet, name in self._known.keys() - present.keys()
        ]
        changed = [held for name, held in present.items() if self._known.get(name) != held]
        oldest = min([held.revision for held in changed] + [snapshot.revision] * bool(gone), default=math.inf)
        if snapshot.revision < self.listed or oldest <= self.head:
            self._restore(snapshot)
            return
        self.take(LeaseAdded(held) for held in sorted(changed, key=lambda held: held.revision))
        self.take(gone)
        self.head = self.listed = snapshot.revision

    def since(self, revision: int) -> tuple[LeaseEvent, ...] | None:
        """What happened after a revision, in order; None if that is not known any more."""
        if revision < self._base:
            return None
        later: deque[LeaseEvent] = deque()
        for happened, event in reversed(self._events):
            if happened <= revision:
                break
            later.appendleft(event)
        return tuple(later)

    def _restore(self, snapshot: Snapshot) -> None:
        self.restored += 1
        self._begin(snapshot)

    def _add(self, revision: int, event: LeaseEvent) -> None:
        self.head = max(self.head, revision)
        self.listed = max(self.listed, self.head)
        self._events.append((self.head, event))
        if len(self._events) > self._longest:
            self._base = self._events[0][0]
            while self._events and self._events[0][0] <= self._base:
                self._events.popleft()


def _name(event: LeaseEvent) -> tuple[Subnet, str]:
    return (
        (event.held.lease.subnet, event.held.name)
        if isinstance(event, LeaseAdded)
        else (event.subnet, event.name)
    )
