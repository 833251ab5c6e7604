"""What happened to a network's leases, for clients that know all of it up to some revision."""

import math
from collections import deque
from collections.abc import Iterable

from flanneld_py.lease.model import StoredLease
from flanneld_py.registry import LeaseAdded, LeaseEvent, LeaseRemoved, Snapshot, place_of
from flanneld_py.subnet import Subnet

__all__ = ["History"]


class History:
    """The last events, each with its revision; `longest` is how many are kept.

    Up to the revision `head` all events are known. `listed` is the last revision that anybody can know, from
    a list or from events. `restored` is how often the registry went back to an older state: what was known
    before no longer counts, even once revisions are as high again.
    """

    def __init__(self, snapshot: Snapshot, *, longest: int = 10_000) -> None:
        self._longest = longest
        self.restored = 0
        self._begin(snapshot)

    def _begin(self, snapshot: Snapshot) -> None:
        self.head = self.listed = self._base = snapshot.revision
        self._events: deque[tuple[int, LeaseEvent]] = deque()
        self._known = {place_of(LeaseAdded(held)): held for held in snapshot.leases}

    def take(self, events: Iterable[LeaseEvent]) -> None:
        """Add what a watch delivered."""
        for event in events:
            if isinstance(event, LeaseAdded):
                self._known[place_of(event)] = event.held
                self._add(event.held.revision, event)
            else:
                self._known.pop(place_of(event), None)
                self._add(event.revision, event)

    def glance(self, snapshot: Snapshot, listed: int) -> bool:
        """Take note of all leases, while a watch that will deliver the differences goes on.

        Returns whether the registry was restored: what that watch still delivers is older then. `listed` is
        its value before the list was requested: the watch may have delivered more in the meantime.
        """
        if restored := snapshot.revision < listed:
            self._restore(snapshot)
        self.listed = max(self.listed, snapshot.revision)
        return restored

    def relist(self, snapshot: Snapshot) -> None:
        """Take over all leases after a watch has ended: the differences happened in between, in some way.

        The registry was restored if its revision is lower than the last, or if the differences are not newer
        than what was known: then nothing from before counts.
        """
        present: dict[tuple[Subnet, str], StoredLease] = {
            place_of(LeaseAdded(held)): held for held in snapshot.leases
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
        """What happened after a revision, in order; None if that is no longer known."""
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
