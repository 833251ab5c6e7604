"""A model of etcd: requests that wait for their turn, changes that are told to all who watch. Pure.

It has `cores` workers, which take one job after another. Watchers are in as many groups; a group is told by
one job at a time, which takes several changes where it lags. Members of a cluster are not modelled.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Protocol

from lab.scale.simulation.costs import Ledger
from lab.scale.simulation.engine import Begin, Processor, Timeline
from lab.scale.simulation.policies import Deadline

__all__ = ["Etcd", "Group", "Watcher"]

AT_ONCE: Final = 1000
"""Changes in one message, at most (watchBatchMaxRevs of etcd's server/storage/mvcc/watcher_group.go)."""


class Watcher(Protocol):
    """A daemon, as etcd sees it."""

    cut: bool
    """Whether packets between the two are lost."""

    deadline: Deadline
    """Of its calls."""

    def told(self) -> None:
        """Its group has heard of changes, while it waits for that."""

    def broken(self) -> None:
        """Its connection was closed."""


class Group:
    """Watchers that hear of changes together, each at its own position."""

    def __init__(self, revision: int) -> None:
        self.members: dict[Watcher, None] = {}
        self.waiting: dict[Watcher, None] = {}
        """Those to call, in the order in which they began to wait."""
        self.sent = self.told = revision
        """Up to which revision changes are on their way, and have come."""
        self.telling = False
        self._revisions: list[int] = []
        self._moments: list[float] = []

    def tell(self, revision: int, now: float) -> None:
        """All members have what happened up to this revision."""
        self.told = revision
        self._revisions.append(revision)
        self._moments.append(now)
        waiting, self.waiting = self.waiting, {}
        for each in waiting:
            each.told()

    def came_at(self, position: int, otherwise: float) -> float:
        """When the first change after this revision came."""
        index = bisect_right(self._revisions, position)
        return self._moments[index] if index < len(self._moments) else otherwise


def _nothing() -> None:
    """Nothing is sent yet."""


class _Call:
    """A request that has no answer yet."""

    __slots__ = ("_resume", "gone")

    def __init__(self, resume: Callable[[object], None]) -> None:
        self.gone: Callable[[], None] = _nothing
        """What to call when it is given up: what is still sent of the answer is not."""
        self._resume: Callable[[object], None] | None = resume

    @property
    def waits(self) -> bool:
        """Whether anybody still waits for the answer."""
        return self._resume is not None

    def answer(self, outcome: object) -> None:
        """The first of its answer, the deadline and the end of the connection counts."""
        resume, self._resume = self._resume, None
        if resume is not None:
            resume(outcome)


class Etcd:
    """One server. `latency`: seconds there and back; `bandwidth`: bytes a second that it can send."""

    def __init__(
        self,
        timeline: Timeline,
        processor: Processor,
        ledger: Ledger,
        *,
        cores: int,
        latency: float,
        bandwidth: float,
    ) -> None:
        self._timeline = timeline
        self._processor = processor
        self._ledger = ledger
        self._cores = cores
        self._half = latency / 2
        self._bandwidth = bandwidth
        self._link = Processor(timeline, math.inf if math.isinf(bandwidth) else 1.0)
        self._life = 0
        self.log: list[tuple[int, bool]] = []
        """What has happened to leases: the subnet's number, and whether there is one now."""
        self.held: dict[int, int] = {}
        """Each lease's subnet, and the revision at which it was made."""
        self.holder: dict[int, Watcher] = {}
        """Each lease's subnet, and whose it is."""
        self.arrivals: list[float] = []
        """When requests came."""
        self._begin_life()

    def _begin_life(self) -> None:
        self._jobs: deque[tuple[Callable[[], float], Callable[[], None]]] = deque()
        self._idle = self._cores
        self._open: dict[_Call, None] = {}
        self.groups = [Group(self.revision) for _ in range(self._cores)]
        self.listens = self.serves = True

    @property
    def revision(self) -> int:
        """How much has happened."""
        return len(self.log)

    def die(self) -> None:
        """Be killed: until `listen` connections are refused, and until `serve` calls wait."""
        watchers = [each for group in self.groups for each in group.members]
        calls = self._open
        self._life += 1
        self._begin_life()
        self.listens = self.serves = False
        for call in calls:
            call.gone()
            call.answer(None)
        for each in watchers:
            each.broken()

    def listen(self) -> None:
        """Accept connections, whose calls wait."""
        self.listens = True

    def serve(self) -> None:
        """Begin with what waits."""
        self.serves = True
        self._next()

    # Work

    def _do(self, work: Callable[[], float], done: Callable[[], None]) -> None:
        self._jobs.append((work, done))
        self._next()

    def _next(self) -> None:
        while self._idle and self._jobs and self.serves:
            work, done = self._jobs.popleft()
            self._idle -= 1
            self._processor.take(work(), partial(self._finished, self._life, done))

    def _finished(self, life: int, done: Callable[[], None]) -> None:
        if life == self._life:
            self._idle += 1
            done()
            self._next()

    def _send(self, size: float, arrived: Callable[[], None]) -> int:
        """Call that when so many bytes are through the link. Returns what its `cancel` wants."""
        return self._link.take(size / self._bandwidth, partial(self._timeline.after, self._half, arrived))

    # Requests

    def ask(
        self,
        watcher: Watcher,
        act: Callable[[], object],
        *,
        lists: bool = False,
        stays: bool = False,
        missed: Callable[[], Sequence[tuple[int, bool]]] = tuple,
    ) -> Begin:
        """A request; its outcome is that of `act`, None if there is no answer in time.

        It `lists` all leases, or sends the changes that were `missed`, once it is its turn. One that `stays`
        has no deadline.
        """

        def begin(resume: Callable[[object], None]) -> None:
            call = _Call(resume)
            self._open[call] = None
            if not stays:
                deadline = watcher.deadline
                # Where packets are lost, nobody connects.
                seconds = deadline.usual if watcher.cut else deadline.seconds
                self._timeline.after(seconds, partial(expire, call, seconds))
            if not watcher.cut:
                self._timeline.after(self._half, partial(arrive, call))

        def expire(call: _Call, waited: float) -> None:
            if call.waits:
                if waited >= watcher.deadline.seconds:
                    watcher.deadline.missed()
                self._answer(call, None)

        def answer(call: _Call, outcome: object) -> None:
            if call.waits:
                watcher.deadline.met()
            self._answer(call, outcome)

        def arrive(call: _Call) -> None:
            if not self.listens:
                self._timeline.after(self._half, partial(self._answer, call, None))
                return
            self.arrivals.append(self._timeline.now)
            self._do(partial(work, call), partial(done, call))

        def work(call: _Call) -> float:
            if not call.waits:  # a cancelled call costs nothing before its turn
                return 0.0
            return self._ledger.work(
                request=1, listed=len(self.held) if lists else 0, delivered=len(missed())
            )

        def done(call: _Call) -> None:
            if not call.waits:
                return
            size = self._ledger.size(request=1, listed=len(self.held) if lists else 0)
            size += self._ledger.tell(missed(), 1)
            outcome = act()
            sent = self._send(size, lambda: None if watcher.cut else answer(call, outcome))
            call.gone = partial(self._link.cancel, sent)

        return begin

    def _answer(self, call: _Call, outcome: object) -> None:
        self._open.pop(call, None)
        if call.waits and outcome is None:
            call.gone()
        call.answer(outcome)

    def list(self, watcher: Watcher) -> Begin:
        """All leases; the revision that they are of, and how many they are."""
        return self.ask(watcher, lambda: (self.revision, len(self.held)), lists=True)

    def nothing(self, watcher: Watcher) -> Begin:
        """A request that changes nothing, and whose answer says nothing: a probe, or an etcd lease."""
        return self.ask(watcher, lambda: True)

    def create(self, watcher: Watcher, subnet: int) -> Begin:
        """A lease of it; its revision, 0 if somebody else has one."""

        def create() -> int:
            if subnet in self.held:
                return 0
            self.holder[subnet] = watcher
            return self.put(subnet)

        return self.ask(watcher, create)

    def watch(self, watcher: Watcher, group: Group, revision: int) -> None:
        """From this revision on; nobody waits for it. What its group was told since then comes first."""

        def begin() -> bool:
            group.members[watcher] = None
            return True

        def begun(outcome: object) -> None:
            if outcome is None:
                watcher.broken()
            else:
                watcher.told()

        self.ask(watcher, begin, stays=True, missed=lambda: self.log[revision : group.sent])(begun)

    def free(self, subnet: int, revision: int) -> bool:
        """Whether a list of this revision has no lease of it."""
        return self.held.get(subnet, revision + 1) > revision

    # Changes

    def put(self, subnet: int) -> int:
        """There is a lease of it from now on; its revision."""
        self.log.append((subnet, True))
        self.held[subnet] = self.revision
        self._tell_all()
        return self.revision

    def end(self, subnet: int) -> int:
        """There is none any more; since which revision."""
        del self.held[subnet]
        self.holder.pop(subnet, None)
        self.log.append((subnet, False))
        self._tell_all()
        return self.revision

    def _tell_all(self) -> None:
        for group in self.groups:
            self._tell(group)

    def _tell(self, group: Group) -> None:
        if group.telling or group.sent >= self.revision:
            return
        group.telling = True
        until = group.sent

        def work() -> float:
            nonlocal until
            until = min(self.revision, group.sent + AT_ONCE)
            count = len(group.members)
            return self._ledger.work(message=count, delivered=count * (until - group.sent))

        def done() -> None:
            size = self._ledger.tell(self.log[group.sent : until], len(group.members))
            group.sent, group.telling = until, False
            self._send(size, lambda: group.tell(until, self._timeline.now))
            self._tell(group)

        self._do(work, done)
