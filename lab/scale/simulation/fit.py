"""The cost model's constants, from what `lab scale` has measured. Pure.

Counts are the simulation's, processor times and bytes the runs': prices are what makes the one into the
other, with the least relative error. How fast a burst goes decides how much of it is put into force together,
so the counts depend on the prices; both are calculated again and again. What no process tells of itself (the
fork of a daemon, the program that looks) follows from how long everything took.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from lab.scale.figures import TIMES, Moment, Phase
from lab.scale.simulation.costs import BYTES, DAEMON, ETCD, HARNESS, Costs
from lab.scale.simulation.world import Event, World, median, simulate

__all__ = ["LARGEST", "Observed", "enough", "fit", "foretell", "observed"]

LARGEST: Final = 100
"""Nodes of the largest run that constants come from."""

FIRST: Final = Costs(
    start=0.02, entry=1e-4, wake=1e-3, event=1e-4, tend=4e-3, check=1e-5, attempt=5e-3,
    request=5e-4, listed=1e-6, message=1e-5, delivered=1e-5, boot=0.05, second=2e-3,
    answer=150.0, listed_bytes=200.0, written_bytes=170.0, ended_bytes=90.0,
    fork=0.015, aside=0.03, waits=0.1, program=0.05, look=2e-6, serves=1.0,
    etcd_memory=20e6, watcher_memory=0.2e6,
)  # fmt: skip
"""Where the search begins: the order of magnitude of each, which is all that is said of it beforehand."""

FLOOR: Final = 4.0
"""No price is less than this part of the likely one: few nodes do not tell what a lease in a list takes."""

DESCENTS: Final = 2000
"""Rounds of coordinate descent; a few hundred suffice."""

STEPS: Final = (1.6, 1.25, 1.1)
"""Factors by which the search tries to be better, one after another."""

UNSURE: Final = 0.05
TICK: Final = 0.004
"""What is uncertain of a processor time: this part, and the rounding of each process' to 10 ms (proc(5))."""

MOMENTS: Final = (Moment.START, Moment.JOIN, Moment.RESTART, Moment.DEATH)
SERVED: Final = "seconds until etcd served"


@dataclass(frozen=True, slots=True)
class Observed:
    """A cluster of so many nodes, as a run has found it."""

    nodes: int
    phases: Mapping[Moment, Phase]
    etcd_memory: float

    @property
    def joins(self) -> int:
        """How often one more node came; once in files of labs that did not tell it."""
        phase = self.phases.get(Moment.JOIN)
        return round(phase.parts.get(TIMES, 1)) if phase is not None else 1

    def alive(self, moment: Moment) -> int:
        """How many nodes there were after it."""
        phase = self.phases[moment]
        more = moment not in (Moment.START, Moment.IDLE)
        return self.nodes + more - round(phase.parts.get("nodes that died", 0))


def observed(document: Mapping[str, Any]) -> Sequence[Observed]:
    """The runs of a scale.json that were measured to the end, the smallest first."""
    found = [
        Observed(
            run["nodes"],
            {(phase := _phase(item)).moment: phase for item in run["phases"]},
            float(sum(member["pss"] for member in run["etcd"])),
        )
        for run in document["runs"]
        if run["failure"] is None
    ]
    return sorted(found, key=lambda item: item.nodes)


def _phase(item: Mapping[str, Any]) -> Phase:
    parts = {TIMES: "times", "nodes that died": "nodesThatDied", SERVED: "secondsUntilEtcdServed"}
    return Phase(
        Moment[item["phase"].upper()],
        item["seconds"],
        item["cpuOfANode"],
        item["cpuOfEtcd"],
        item["etcdSentBytes"],
        item["etcdRequests"],
        {name: item["parts"][key] for name, key in parts.items() if key in item["parts"]},
    )


# How long everything takes


def foretell(
    run: Observed, costs: Costs, chances: Iterable[Callable[[], float]]
) -> Sequence[Mapping[Moment, Event]]:
    """The phases of a run like this on one machine, once with each source of chance."""
    return [
        {event.phase.moment: event for event in simulate(World(run.nodes, costs, chance), joins=run.joins)}
        for chance in chances
    ]


def taken(phases: Mapping[Moment, Phase]) -> Mapping[str, float]:
    """What a run took: seconds, by a short name."""
    found = {moment.name.lower(): phases[moment].seconds for moment in MOMENTS if moment in phases}
    restart = phases.get(Moment.RESTART)
    found["requests"] = phases[Moment.START].requests
    return found if restart is None else {**found, "served": restart.parts[SERVED]}


def typical(runs: Sequence[Mapping[Moment, Event]]) -> Mapping[str, float]:
    """The same of simulations: the median of each."""
    each = [taken({moment: event.phase for moment, event in run.items()}) for run in runs]
    return {name: median([item[name] for item in each]) for name in each[0]}


Chances = Callable[[], Sequence[Callable[[], float]]]


def _error(runs: Sequence[Observed], costs: Costs, chances: Chances) -> float:
    total = 0.0
    for run in runs:
        found = typical(foretell(run, costs, chances()))
        for name, seconds in taken(run.phases).items():
            total += math.log(found[name] / seconds) ** 2
    return total


# Prices


def _prices(
    kinds: Sequence[str], rows: Sequence[tuple[Mapping[str, float], float, float]], likely: Sequence[float]
) -> Mapping[str, float]:
    """Prices so that counts times prices come to what was measured.

    `rows`: counts, what was measured, and how uncertain that is. By coordinate descent: for one price after
    another, the best while the others stay. What the rows say nothing of keeps its `likely` price.
    """
    scaled = [[counts.get(kind, 0.0) / unsure for kind in kinds] for counts, _, unsure in rows]
    aims = [seen / unsure for _, seen, unsure in rows]
    indices = range(len(kinds))
    squares = [[sum(row[i] * row[j] for row in scaled) for j in indices] for i in indices]
    sums = [sum(row[i] * aim for row, aim in zip(scaled, aims, strict=True)) for i in indices]
    prices = list(likely)
    for _ in range(DESCENTS):
        for i in indices:
            if squares[i][i]:
                others = sum(squares[i][j] * prices[j] for j in indices if j != i)
                prices[i] = max(likely[i] / FLOOR, (sums[i] - others) / squares[i][i])
    return dict(zip(kinds, prices, strict=True))


def _priced(runs: Sequence[Observed], costs: Costs, chances: Chances) -> Costs:
    daemon, etcd, size = [], [], []
    for run in runs:
        for found in foretell(run, costs, chances()):
            for moment, phase in run.phases.items():
                if moment not in found:
                    continue
                counts, alive = found[moment].counts, run.alive(moment)
                cpu = phase.cpu * alive
                daemon.append((counts, cpu, UNSURE * cpu + TICK * math.sqrt(alive)))
                etcd.append((counts, phase.etcd_cpu, UNSURE * phase.etcd_cpu + TICK))
                size.append((counts, phase.sent, UNSURE * phase.sent))
    prices = {
        **_prices(DAEMON, daemon, [getattr(FIRST, kind) for kind in DAEMON]),
        **_prices(ETCD, etcd, [getattr(FIRST, kind) for kind in ETCD]),
    }
    sizes = _prices(tuple(BYTES), size, [getattr(FIRST, name) for name in BYTES.values()])
    return replace(costs, **prices, **{BYTES[kind]: value for kind, value in sizes.items()})


def _searched(runs: Sequence[Observed], costs: Costs, chances: Chances, step: float) -> Costs:
    best = _error(runs, costs, chances)
    for name in HARNESS:
        for factor in (step, 1 / step):
            while True:
                tried = replace(costs, **{name: getattr(costs, name) * factor})
                error = _error(runs, tried, chances)
                if error >= best * 0.999:
                    break
                costs, best = tried, error
    return costs


def _line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """By the least squares: its value at zero, and its slope."""
    count = len(points)
    x, y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return y - slope * x, slope


def _small(runs: Sequence[Observed]) -> Sequence[Observed]:
    return [run for run in runs if run.nodes <= LARGEST]


def enough(runs: Sequence[Observed]) -> bool:
    """Whether constants can come from these, sorted by nodes: two or more, none too large, each once."""
    small = _small(runs)
    return len(small) >= 2 and all(one.nodes != other.nodes for one, other in pairwise(small))


def fit(runs: Sequence[Observed], chances: Chances) -> Costs:
    """The constants, from runs of at most `LARGEST` nodes; others are not looked at. Raises `ValueError`.

    `chances` makes the same sources of chance anew each time.
    """
    small = _small(runs)
    if not enough(runs):
        raise ValueError(f"constants need runs of two or more numbers of nodes up to {LARGEST}")
    costs = FIRST
    for step in STEPS:
        costs = _priced(small, costs, chances)
        costs = _searched(small, costs, chances, step)
    memory, watcher = _line([(run.nodes, run.etcd_memory) for run in small])
    return replace(costs, etcd_memory=memory, watcher_memory=watcher)
