"""What was simulated: constants, phases, and how far a run was foretold; as text and as a document. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from lab.bench.report import camel, short
from lab.render.documents import versioned
from lab.render.text import table
from lab.scale.figures import MB, Moment, Phase
from lab.scale.simulation.costs import UNITS, Costs
from lab.scale.simulation.fit import LARGEST, SERVED, Observed
from lab.scale.simulation.world import LATE, Event, Place, median

__all__ = ["Foretold", "Simulated", "Simulation", "document", "foretold", "text"]

CLOSE: Final = 0.2
"""A run is foretold if what it took differs by no more than this part."""

REQUESTS: Final = "requests to etcd at the start"


@dataclass(frozen=True, slots=True)
class Simulated:
    """A cluster of so many nodes, once with each seed of chance."""

    nodes: int
    runs: Sequence[Sequence[Event]]

    def events(self, moment: Moment) -> Sequence[Event]:
        """This phase, of each run that has it."""
        return [event for run in self.runs for event in run if event.phase.moment is moment]

    def typical(self, moment: Moment) -> Event:
        """The one that took neither the shortest nor the longest time."""
        found = sorted(self.events(moment), key=lambda event: event.phase.seconds)
        return found[len(found) // 2]

    @property
    def moments(self) -> Sequence[Moment]:
        """The phases that any run has."""
        return [moment for moment in Moment if self.events(moment)]


@dataclass(frozen=True, slots=True)
class Simulation:
    """All that was asked for. `source`: the runs that the constants are from, and those to be foretold."""

    costs: Costs
    place: Place
    members: int
    simulated: Sequence[Simulated]
    source: Sequence[Observed]


@dataclass(frozen=True, slots=True)
class Foretold:
    """One figure of a run. `low` and `high`: of the simulations with different seeds."""

    nodes: int
    what: str
    unit: str
    said: float
    low: float
    high: float
    seen: float

    @property
    def error(self) -> float:
        """By which part of what was seen more was said."""
        return self.said / self.seen - 1

    @property
    def close(self) -> bool:
        """Whether that is little."""
        return abs(self.error) <= CLOSE


def foretold(simulation: Simulation) -> Sequence[Foretold]:
    """The figures of all runs that were simulated and measured, on one machine."""
    if not simulation.place.shared:
        return ()
    measured = {run.nodes: run for run in simulation.source}
    return [
        item
        for simulated in simulation.simulated
        if simulated.nodes in measured
        for item in _foretold(simulated, measured[simulated.nodes])
    ]


def _foretold(simulated: Simulated, run: Observed) -> Iterable[Foretold]:
    def compared(what: str, unit: str, said: Sequence[float], seen: float) -> Foretold:
        return Foretold(simulated.nodes, what, unit, median(said), min(said), max(said), seen)

    for moment in (Moment.START, Moment.JOIN, Moment.RESTART, Moment.DEATH):
        if moment in run.phases and (events := simulated.events(moment)):
            seen, phases = run.phases[moment], [event.phase for event in events]
            yield compared(moment.value, "s", [phase.seconds for phase in phases], seen.seconds)
            if moment is Moment.START:
                yield compared(REQUESTS, "", [phase.requests for phase in phases], seen.requests)
                yield compared(
                    "bytes from etcd at the start", "MB", [each.sent / MB for each in phases], seen.sent / MB
                )
                yield compared(
                    "processor time of a node at the start", "s", [each.cpu for each in phases], seen.cpu
                )
                yield compared(
                    "processor time of etcd at the start",
                    "s",
                    [each.etcd_cpu for each in phases],
                    seen.etcd_cpu,
                )
            if moment is Moment.RESTART:
                served = [phase.parts[SERVED] for phase in phases]
                yield compared(SERVED, "s", served, seen.parts[SERVED])


# For a person


def text(simulation: Simulation, width: int | None) -> str:
    """`width` is that of the terminal, None without one."""
    parts = [
        _place(simulation),
        _phases(simulation, width),
        _compared(foretold(simulation), width),
        _constants(simulation.costs, width),
        "\n".join(_lacking(simulation)),
    ]
    return "\n\n".join(part for part in parts if part)


def _place(simulation: Simulation) -> str:
    place = simulation.place
    if place.shared:
        return f"One machine of {place.cores:g} processors has etcd and all nodes."
    return (
        f"Each node is a machine of its own. etcd: {simulation.members} x "
        f"{place.cores / simulation.members:g} processors and "
        f"{place.bandwidth * 8 / 1e9 / simulation.members:g} Gbit/s, "
        f"{place.latency * 1000:g} ms there and back."
    )


def _phases(simulation: Simulation, width: int | None) -> str:
    rows = [
        [
            str(simulated.nodes),
            moment.value,
            f"{event.phase.seconds:.2f}",
            f"{event.phase.cpu:.3f}",
            f"{event.phase.etcd_cpu:.2f}",
            f"{event.phase.sent / MB:.2f}",
            f"{event.phase.requests:.0f}",
            f"{event.busiest:.0f}",
            f"{event.counts.get('delivered', 0):.0f}",
        ]
        for simulated in simulation.simulated
        for moment in simulated.moments
        for event in [simulated.typical(moment)]
    ]
    header = [
        "NODES", "PHASE", "s", "CPU of a node (s)", "CPU of etcd (s)", "etcd sent (MB)", "etcd's requests",
        "in its busiest second", "changes told",
    ]  # fmt: skip
    return table(header, rows, width)


def _compared(found: Sequence[Foretold], width: int | None) -> str:
    rows = [
        [
            str(item.nodes),
            item.what,
            f"{item.said:.4g} {item.unit}".strip(),
            f"{item.low:.4g} - {item.high:.4g}",
            f"{item.seen:.4g} {item.unit}".strip(),
            f"{100 * item.error:+.0f} %",
            "" if item.nodes > LARGEST else "constants are from it",
        ]
        for item in found
    ]
    return table(["NODES", "", "SIMULATED", "with other seeds", "SEEN", "", ""], rows, width) if rows else ""


def _constants(costs: Costs, width: int | None) -> str:
    rows = [[name, f"{getattr(costs, name):.3g} {unit}", what] for name, (unit, what) in UNITS.items()]
    return table(["CONSTANT", "", ""], rows, width)


def _lacking(simulation: Simulation) -> Iterable[str]:
    for simulated in simulation.simulated:
        for run in simulated.runs:
            if run[-1].lacking:
                yield (
                    f"With {simulated.nodes} nodes, {run[-1].phase.moment.value}: after {LATE:g} s "
                    f"{run[-1].lacking} nodes still lack something; what comes after is left out."
                )


# As a document


def document(simulation: Simulation) -> Mapping[str, object]:
    """The same as one JSON document (docs/schemas/scale-simulated.json)."""
    place = simulation.place
    return versioned(
        {
            "constants": {
                camel(name.replace("_", " ")): short(value)
                for name, value in asdict(simulation.costs).items()
            },
            "place": {
                "shared": place.shared,
                "processors": place.cores,
                "members": simulation.members,
                "latency": place.latency,
                "bytesASecond": None if place.shared else place.bandwidth,
            },
            "runs": [
                {
                    "nodes": simulated.nodes,
                    "etcdMemoryBytes": round(
                        simulation.costs.etcd_memory + simulated.nodes * simulation.costs.watcher_memory
                    ),
                    "phases": [_phase(simulated, moment) for moment in simulated.moments],
                }
                for simulated in simulation.simulated
            ],
            "foretold": [
                {
                    "nodes": item.nodes,
                    "what": item.what,
                    "unit": item.unit,
                    "simulated": short(item.said),
                    "least": short(item.low),
                    "greatest": short(item.high),
                    "seen": short(item.seen),
                    "close": item.close,
                }
                for item in foretold(simulation)
            ],
        }
    )


def _phase(simulated: Simulated, moment: Moment) -> Mapping[str, object]:
    event = simulated.typical(moment)
    phase: Phase = event.phase
    return {
        "phase": moment.name.lower(),
        "title": moment.value,
        "seconds": short(phase.seconds),
        "cpuOfANode": short(phase.cpu),
        "cpuOfEtcd": short(phase.etcd_cpu),
        "etcdSentBytes": round(phase.sent),
        "etcdRequests": round(phase.requests),
        "requestsOfTheBusiestSecond": round(event.busiest),
        "changesTold": round(event.counts.get("delivered", 0)),
        "leasesListed": round(event.counts.get("listed", 0)),
        "lacking": event.lacking,
        "parts": {camel(name): short(value) for name, value in phase.parts.items()},
    }
