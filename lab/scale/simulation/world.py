"""A simulated cluster, and what is done to it: the phases of `lab scale`, a churn and a partition. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lab.scale.figures import TIMES, Moment, Phase
from lab.scale.plan import DYING, JOINS
from lab.scale.simulation.costs import DAEMON, ETCD, Costs, Ledger, seconds, sent
from lab.scale.simulation.daemon import Daemon, Policies, Surroundings
from lab.scale.simulation.engine import Processor, Steps, Timeline
from lab.scale.simulation.etcd import Etcd

__all__ = ["Event", "Place", "World", "simulate"]

PAUSE: Final = 0.02
PATIENCE: Final = 10
"""`lab scale` waits so many times as long as a look took, and PAUSE seconds at least (look.py)."""

READ: Final = 0.002
"""Seconds in which it reads what one process takes."""

LATE: Final = 300.0
"""Simulated seconds after which it is no longer waited for nodes to know all."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the cluster runs on."""

    cores: float = 2.0
    """Of the one machine, or of etcd's."""
    shared: bool = True
    """Whether one machine has everything, as with `lab scale`; else each daemon has one of its own."""
    latency: float = 0.0002
    """Seconds to etcd and back."""
    bandwidth: float = math.inf
    """Bytes a second that etcd's machine can send."""
    within: float = 1.0
    """Seconds in which all daemons are started, where each has a machine of its own."""


@dataclass(frozen=True, slots=True)
class Event:
    """A phase that was simulated, and the counts that its prices are for."""

    phase: Phase
    counts: Mapping[str, float]
    busiest: float
    """Requests that etcd got in the second in which it got most."""
    lacking: int = 0
    """Nodes that do not know all, after LATE seconds."""


@dataclass(frozen=True, slots=True)
class Done:
    """What was so at one moment."""

    counts: Counter[str] = field(default_factory=Counter)
    now: float = 0.0
    requests: int = 0


class World:
    """So many daemons and an etcd. Each phase is to be asked for once, in the order of `Moment`."""

    def __init__(
        self,
        nodes: int,
        costs: Costs,
        chance: Callable[[], float],
        place: Place | None = None,
        policies: Policies | None = None,
    ) -> None:
        self.place = place = place or Place()
        self._nodes = nodes
        self._costs = costs
        self._chance = chance
        self.timeline = timeline = Timeline()
        self.ledger = Ledger(costs)
        self._machine = Processor(timeline, place.cores)
        self.etcd = Etcd(
            timeline, self._machine, self.ledger,
            cores=max(1, int(place.cores)), latency=place.latency, bandwidth=place.bandwidth,
        )  # fmt: skip
        subnets = 4096  # what OVERLAY of plan.py has, or what leaves as many free as there are
        while subnets < 2 * nodes:
            subnets *= 2
        self._around = Surroundings(
            timeline,
            self._machine if place.shared else Processor(timeline, math.inf),
            self.etcd,
            self.ledger,
            chance,
            subnets,
            costs.aside,
            costs.waits,
            policies or Policies(),
        )
        self._numbers = iter(range(1, 10**9))
        self.running: list[Daemon] = []
        self._before = Done()
        self._waiting_since = 0.0

    # What all phases have

    def _new(self) -> Daemon:
        daemon = Daemon(next(self._numbers), self._around)
        self.running.append(daemon)
        return daemon

    def _program(self, work: float = 0.0) -> Steps:
        """The program that looks at nodes, and what it has to do."""
        if self.place.shared:
            yield self._machine.work(self._costs.program + work)

    def _look(self) -> Steps:
        """At one node, where that takes something. Ends with when it is to be looked at again."""
        if not self.place.shared:
            return PAUSE / PATIENCE
        began = self.timeline.now
        yield self._machine.work(self._costs.look * len(self.etcd.held))
        return max(PAUSE, PATIENCE * (self.timeline.now - began))

    def _until(self, done: Callable[[Daemon], bool]) -> Steps:
        """One daemon after the other, as `lab scale` does."""
        for each in list(self.running):
            while True:
                pause = yield from self._look()
                if done(each):
                    break
                if self._late():
                    return
                yield self.timeline.rest(pause)

    def _settled(self) -> Steps:
        """Until all know all; when that was."""
        self._waiting_since = self.timeline.now
        yield from self._program()
        if any(each.subnet is None for each in self.running):
            yield from self._until(lambda each: each.subnet is not None)
        revision = self.etcd.revision
        yield from self._until(lambda each: each.knows(revision))
        return self.timeline.now

    def _phase(self, moment: Moment, steps: Callable[[], Steps]) -> Event:
        """Run it, and what `lab scale` does after it."""
        found: list[tuple[float, Mapping[str, float]]] = []

        def all_of_it() -> Steps:
            took, parts = yield from steps()
            found.append((took, parts))
            yield from self._program(READ * len(self.running))

        began = self._waiting_since = self.timeline.now
        self.timeline.run(all_of_it())
        now = Done(Counter(self.ledger.counts), self.timeline.now, len(self.etcd.arrivals))
        counts: dict[str, float] = {
            kind: count - self._before.counts[kind] for kind, count in now.counts.items()
        }
        counts["second"] = now.now - self._before.now
        arrivals = self.etcd.arrivals[self._before.requests :]
        self._before = now
        (took, parts), costs = found[0], self._costs
        busiest = Counter(int(arrival - began) for arrival in arrivals)
        phase = Phase(
            moment,
            took,
            cpu=seconds(costs, counts, DAEMON) / max(1, len(self.running)),
            etcd_cpu=seconds(costs, counts, ETCD),
            sent=sent(costs, counts),
            requests=counts.get("request", 0.0),
            parts=parts,
        )
        revision = self.etcd.revision
        lacking = sum(not each.knows(revision) for each in self.running)
        busy = float(max(busiest.values(), default=0))
        return Event(phase, counts, busy, lacking if self._late() else 0)

    def _late(self) -> bool:
        return self.timeline.now > self._waiting_since + LATE

    # The phases

    def start(self) -> Event:
        """All daemons at once: as fast as the machine forks them, or within a second."""

        def steps() -> Steps:
            began = self.timeline.now
            for _ in range(self._nodes):
                yield from self._begin(self._new())
            at = yield from self._settled()
            return at - began, {}

        return self._phase(Moment.START, steps)

    def _begin(self, daemon: Daemon) -> Steps:
        if self.place.shared:
            yield self._machine.work_first(self._costs.fork)
            daemon.start()
        else:
            self.timeline.after(self._chance() * self.place.within, daemon.start)

    def idle(self, lasting: float) -> Event:
        """Nothing happens."""

        def steps() -> Steps:
            yield self.timeline.rest(lasting)
            return lasting, {}

        return self._phase(Moment.IDLE, steps)

    def join(self, times: int = JOINS) -> Event:
        """One more, so many times; in between it goes again."""

        def steps() -> Steps:
            took: list[float] = []
            for turn in range(times):
                if turn:
                    last = self.running.pop()
                    last.kill()
                    yield from self._program()
                    yield from self._end(last)
                    yield from self._settled()
                yield from self._program()  # which tells the time
                began = self.timeline.now
                yield from self._begin(self._new())
                at = yield from self._settled()
                took.append(at - began)
            parts = {TIMES: times, "seconds of the shortest": min(took), "seconds of the longest": max(took)}
            return median(took), parts

        return self._phase(Moment.JOIN, steps)

    def restart(self) -> Event:
        """etcd is killed and started, and a stranger's lease is written as soon as it serves."""

        def steps() -> Steps:
            yield from self._program()
            began = self.timeline.now
            self.etcd.die()
            yield self._machine.work(self.ledger.work(boot=1))
            self.etcd.listen()
            yield self.timeline.rest(self._costs.serves)
            self.etcd.serve()
            yield from self._program()
            stranger = Daemon(0, self._around)
            yield from self._insistently(stranger, lambda: self.etcd.list(stranger))
            yield from self._insistently(stranger, lambda: self.etcd.nothing(stranger))
            serves = self.timeline.now
            yield self.etcd.ask(stranger, lambda: self.etcd.put(-1))
            at = yield from self._settled()
            return at - began, {"seconds until etcd served": serves - began}

        return self._phase(Moment.RESTART, steps)

    @staticmethod
    def _insistently(_: Daemon, ask: Callable[[], object]) -> Steps:
        while (yield ask()) is None:  # type: ignore[misc]
            pass

    def death(self) -> Event:
        """A tenth is killed, and their leases end, one right after the other."""

        def steps() -> Steps:
            count = max(1, self._nodes // DYING)
            dying, self.running = self.running[:count], self.running[count:]
            for each in dying:
                each.kill()
            yield from self._program()
            began = self.timeline.now
            for each in dying:
                yield from self._end(each)
            at = yield from self._settled()
            return at - began, {"nodes that died": count}

        return self._phase(Moment.DEATH, steps)

    def _end(self, daemon: Daemon) -> Steps:
        """The end of its lease."""
        if daemon.subnet is not None:
            subnet = daemon.subnet
            yield self.etcd.ask(daemon, lambda: self.etcd.end(subnet))

    def churn(self, rate: float, lasting: float) -> Event:
        """So many a second are replaced, those that have run for the longest time."""
        count = max(1, round(rate * lasting))

        def steps() -> Steps:
            began = self.timeline.now
            for number in range(count):
                oldest = self.running.pop(0)
                oldest.kill()
                yield from self._end(oldest)
                new = self._new()
                if self.place.shared:
                    yield self._machine.work(self._costs.fork)
                new.start()
                yield self.timeline.rest(max(0.0, began + (number + 1) / rate - self.timeline.now))
            ended = self.timeline.now
            at = yield from self._settled()
            return at - ended, {"nodes replaced": count, "seconds of churn": ended - began}

        return self._phase(Moment.CHURN, steps)

    def partition(self, part: float, lasting: float) -> Event:
        """This part of the nodes loses etcd for so many seconds; meanwhile a lease is written."""

        def steps() -> Steps:
            count = max(1, round(part * len(self.running)))
            stranger = Daemon(0, self._around)
            for each in self.running[:count]:
                each.lose()
            yield self.etcd.ask(stranger, lambda: self.etcd.put(-2))
            yield self.timeline.rest(lasting)
            for each in self.running[:count]:
                each.cut = False
            ended = self.timeline.now
            at = yield from self._settled()
            return at - ended, {"nodes cut off": count, "seconds of partition": lasting}

        return self._phase(Moment.PARTITION, steps)


def simulate(
    world: World, idle: float = 10.0, more: Sequence[Callable[[], Event]] = (), joins: int = JOINS
) -> Iterator[Event]:
    """The phases of every run of `lab scale`, and more; none after one in which nodes lack something."""
    acts: Sequence[Callable[[], Event]] = (
        world.start, lambda: world.idle(idle), lambda: world.join(joins), world.restart, world.death, *more
    )  # fmt: skip
    for act in acts:
        event = act()
        yield event
        if event.lacking:
            return


def median(values: Sequence[float]) -> float:
    """The one in the middle."""
    return sorted(values)[len(values) // 2]
