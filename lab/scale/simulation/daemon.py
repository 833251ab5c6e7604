"""A simulated daemon: the steps of flanneld's lease loop, with its policies and prices for its work. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from lab.scale.simulation.costs import Ledger
from lab.scale.simulation.engine import Begin, Process, Processor, Steps, Timeline
from lab.scale.simulation.etcd import Etcd, Group
from lab.scale.simulation.policies import (
    BATCH,
    CHECK,
    LONG,
    RELOOK,
    SPREAD,
    TIMEOUT,
    Backoff,
    Deadline,
    Holding,
    Watchdog,
)

__all__ = ["Daemon", "Policies", "Surroundings"]


@dataclass(frozen=True, slots=True)
class Policies:
    """The rules that daemons behave by; tests put flanneld's own in the place of the copies."""

    backoff: Callable[[], Backoff] = Backoff
    watchdog: Callable[[float], Watchdog] = Watchdog
    holding: Callable[[], Holding] = Holding
    deadline: Callable[[float], Deadline] = Deadline


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What daemons share. `chance`: a number of [0, 1), another one each time; `subnets`: how many there are;
    `aside`, `waits`: seconds of a start that the machine works, and that nobody does."""

    timeline: Timeline
    processor: Processor
    etcd: Etcd
    ledger: Ledger
    chance: Callable[[], float]
    subnets: int
    aside: float
    waits: float
    policies: Policies


class Daemon:
    """One flanneld. `position`: up to which revision it has put into force what happened to leases."""

    def __init__(self, number: int, around: Surroundings) -> None:
        self._number = number
        self._around = around
        self._timeline, self._etcd = around.timeline, around.etcd
        self.subnet: int | None = None
        self.position = -1
        self.cut = False
        self.deadline = around.policies.deadline(TIMEOUT)
        self.lists = 0
        """How often it has listed the leases since its start, and tried to."""
        self._process = Process(self._live())
        self._group = Group(0)
        self._broken = False
        self._turn = 0
        self._resume: Callable[[], None] | None = None
        self._looks_at = self._checks_at = 0.0

    # From outside

    def start(self) -> None:
        """Begin."""
        self._process.resume()

    def kill(self) -> None:
        """End at once; the lease stays."""
        self._process.kill()
        self._leave()

    def lose(self) -> None:
        """Packets to and from etcd are lost from now on; nobody is told."""
        self.cut = True
        self._leave()

    def told(self) -> None:
        """See `Watcher`."""
        self._wake(self._turn)

    def broken(self) -> None:
        """See `Watcher`."""
        self._broken = True
        self._wake(self._turn)

    def knows(self, revision: int) -> bool:
        """Whether all is in force that had happened by then."""
        return self.subnet is not None and self.position >= revision

    # Waiting

    def _leave(self) -> None:
        self._group.members.pop(self, None)
        self._group.waiting.pop(self, None)

    def _wait(self, seconds: float, *, listen: bool) -> Begin:
        """So long, or until something comes, if that is listened for."""

        def begin(resume: Callable[[], None]) -> None:
            self._turn += 1
            turn, self._resume = self._turn, resume
            if listen:
                self._group.waiting[self] = None
            self._timeline.after(seconds, lambda: self._wake(turn))

        return begin

    def _wake(self, turn: int) -> None:
        if turn == self._turn and self._resume is not None:
            self._group.waiting.pop(self, None)
            resume, self._resume = self._resume, None
            resume()

    def _works(self, *, aside: float = 0.0, **counts: float) -> Begin:
        """So much of what has a price, and so many seconds that its own processor time does not show."""
        return self._around.processor.work(self._around.ledger.work(**counts) + aside)

    def _rests(self, seconds: float) -> Begin:
        """Up to half of it less, at random."""
        return self._timeline.rest(seconds * (SPREAD + (1 - SPREAD) * self._around.chance()))

    # Its life

    def _live(self) -> Steps:
        timeline = self._timeline
        yield self._works(start=0.5, aside=self._around.aside / 2)
        backoff = self._around.policies.backoff()
        while (yield self._etcd.nothing(self)) is None:  # the network's configuration
            yield self._works(attempt=1)
            yield self._rests(backoff.delay())
        subnet, revision, asked_at = yield from self._acquire()
        yield timeline.rest(self._around.waits)
        yield self._works(start=0.5, aside=self._around.aside / 2)
        if timeline.now - asked_at >= LONG:
            found = yield from self._list()
            revision = revision if found is None else found
        self.subnet = subnet
        yield from self._keep(revision)

    def _list(self) -> Steps:
        """All leases; their revision, None if etcd does not answer in time."""
        self.lists += 1
        found = yield self._etcd.list(self)
        if found is None:
            return None
        revision, count = found
        yield self._works(entry=count)
        return revision

    def _acquire(self) -> Steps:
        """A lease: its subnet, the revision of the list it is chosen from, and when that was asked for."""
        etcd, backoff, asked_for = self._etcd, self._around.policies.backoff(), -1
        while True:
            asked_at = self._timeline.now
            revision = yield from self._list()
            if revision is not None:
                if etcd.holder.get(asked_for) is self:  # written after all, when nobody waited any longer
                    return asked_for, revision, asked_at
                asked_for = self._pick(revision)
                if (yield etcd.nothing(self)) is not None:  # the etcd lease
                    made = yield etcd.create(self, asked_for)
                    if made:
                        return asked_for, revision, asked_at
                    if made == 0:  # somebody was quicker
                        yield etcd.nothing(self)  # that etcd lease is not needed
                        continue
            yield self._works(attempt=1)
            yield self._rests(backoff.delay())

    def _pick(self, revision: int) -> int:
        """One of the free subnets, at random."""
        while True:
            subnet = int(self._around.chance() * self._around.subnets)
            if self._etcd.free(subnet, revision):
                return subnet

    def _keep(self, listed: int) -> Steps:
        """Follow the others. `listed`: the revision of a list that it already has."""
        timeline, known = self._timeline, listed
        watchdog = self._around.policies.watchdog(timeline.now)
        self._looks_at, self._checks_at = timeline.now + RELOOK, timeline.now + CHECK
        while True:
            began = timeline.now
            if (yield from self._list_and_watch(known, watchdog)):
                watchdog.begun(timeline.now, timeline.now - began)
                yield from self._follow(watchdog)
            self._leave()
            known = -1
            delay = watchdog.ended(timeline.now).delay()
            yield self._rests(watchdog.rest(timeline.now, delay))

    def _list_and_watch(self, known: int, watchdog: Watchdog) -> Steps:
        revision = known
        if known < 0:
            yield self._works(attempt=1)
            found = yield from self._list()
            if found is None:
                return False
            revision = found
            watchdog.heard(self._timeline.now)
        self._broken = False
        self._group = self._etcd.groups[self._number % len(self._etcd.groups)]
        self._etcd.watch(self, self._group, revision)
        self.position = max(self.position, revision)
        return True

    def _follow(self, watchdog: Watchdog) -> Steps:
        """Until the watch ends, or etcd does not answer a probe."""
        timeline, holding = self._timeline, self._around.policies.holding()
        while not self._broken:
            if timeline.now >= self._looks_at:
                yield from self._tend()
            if watchdog.must_probe(timeline.now, idle=self._empty(holding)):
                if (yield self._etcd.nothing(self)) is None:
                    return
                watchdog.heard(timeline.now)
                watchdog.probed(timeline.now)
            yield from self._receive(holding, watchdog)

    def _tend(self) -> Steps:
        now = self._timeline.now
        self._looks_at = now + RELOOK
        peers = 0
        if now >= self._checks_at:
            self._checks_at, peers = now + CHECK, len(self._etcd.held)
        yield self._works(tend=1, check=peers)

    def _empty(self, holding: Holding) -> bool:
        """Whether there is nothing that may be put into force now."""
        watches = self in self._group.members
        return not watches or self._group.told <= self.position or holding.held(self._timeline.now) > 0

    def _receive(self, holding: Holding, watchdog: Watchdog) -> Steps:
        timeline = self._timeline
        until = min(timeline.now + watchdog.time_left(timeline.now), self._looks_at)
        while not self._broken and self._empty(holding):
            left = until - timeline.now
            if left <= 0:
                return
            held = holding.held(timeline.now)
            yield self._wait(min(left, held) if held else left, listen=not held)
        if self._broken:
            return
        group, now = self._group, timeline.now
        came_at = group.came_at(self.position, now)
        yield self._works(wake=1)
        batch = min(BATCH, group.told - self.position)
        watchdog.heard(timeline.now)
        yield self._works(event=batch)
        self.position += batch
        holding.done(timeline.now, came_at, waiting=group.told > self.position)
