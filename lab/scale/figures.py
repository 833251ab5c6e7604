"""What a run has found, and what is calculated from it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from lab.bench.figures import Spread, spread
from lab.scale.plan import Program, Settings

__all__ = ["TIMES", "Judged", "Measured", "Moment", "Phase", "Results", "Usage", "judge", "phase"]

MB = 1e6

TIMES = "times"
"""Of a phase's parts: how often one more node came."""

SIZES = ("pss", "rss", "sockets", "descriptors", "threads")


class Moment(Enum):
    """What is timed; its value is the title that a person reads."""

    START = "start until all have all routes"
    IDLE = "nothing happens"
    JOIN = "one node more until all know it"
    RESTART = "etcd killed until all hear of a change"
    DEATH = "a tenth's leases end until all know"
    CHURN = "churn, and until all know after it"
    FAULT = "a fault, and until all know after it"
    PARTITION = "some lose etcd, and until all know after it"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process takes: `cpu` in seconds so far, programs that it has run included; sizes in bytes."""

    cpu: float
    pss: float
    rss: float
    sockets: int
    descriptors: int
    threads: int
    sent: float = 0.0
    """By a member of etcd: bytes to its clients since its start."""
    requests: float = 0.0
    """To a member of etcd, since its start."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One thing that was timed."""

    moment: Moment
    seconds: float
    cpu: float
    """Processor seconds of a node, on average."""
    etcd_cpu: float
    """Processor seconds of etcd, all members together."""
    sent: float
    """Bytes that etcd has sent to its clients."""
    requests: float
    """That etcd has got."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """What it is made of: seconds, or how many, by a few words."""
    fault: str = ""
    """Of FAULT: which, as it was written."""

    @property
    def title(self) -> str:
        """What a person reads."""
        return f"{self.fault}: until all know after it" if self.fault else self.moment.value


def phase(
    moment: Moment,
    seconds: float,
    before: Mapping[str, Usage],
    after: Mapping[str, Usage],
    *,
    etcd: Sequence[str],
    parts: Mapping[str, float] | None = None,
    fault: str = "",
) -> Phase:
    """From what processes, by name, had taken before and after; one that is new had taken nothing.

    `etcd` are the names of its members. One that was started anew counts from its start.
    """
    nodes = [name for name in after if name not in etcd]

    def grown(name: str, what: str) -> float:
        now, then = getattr(after[name], what), getattr(before[name], what) if name in before else 0.0
        return float(now - then if now >= then else now)

    return Phase(
        moment,
        seconds,
        cpu=sum(grown(name, "cpu") for name in nodes) / max(1, len(nodes)),
        etcd_cpu=sum(grown(name, "cpu") for name in etcd),
        sent=sum(grown(name, "sent") for name in etcd),
        requests=sum(grown(name, "requests") for name in etcd),
        parts=dict(parts or {}),
        fault=fault,
    )


@dataclass(frozen=True, slots=True)
class Measured:
    """A cluster of so many nodes, from its start to its end."""

    nodes: int
    phases: tuple[Phase, ...]
    usage: tuple[Usage, ...]
    """Of each node, when all had all routes, or when that was not waited for any longer."""
    etcd: tuple[Usage, ...]
    """Of each member, at the same time."""
    failure: str = ""
    """Why it was not measured to the end; empty where it was. Later phases are left out then."""
    refused: int = 0
    """Entries that the kernel's table of neighbours had no room for meanwhile, on the whole machine."""

    @property
    def sizes(self) -> Sequence[tuple[str, Spread]]:
        """What a node takes: the fields of `usage` that are no time, each with its spread over the nodes."""
        return [(name, self.spread(name)) for name in SIZES] if self.usage else []

    def phase(self, moment: Moment) -> Phase | None:
        """The one of that kind, if it was measured."""
        return next((item for item in self.phases if item.moment is moment), None)

    def spread(self, what: str) -> Spread:
        """Of one field of `usage`, over the nodes."""
        found = spread(float(getattr(item, what)) for item in self.usage)
        if found is None:
            raise ValueError("a cluster without nodes")
        return found


@dataclass(frozen=True, slots=True)
class Results:
    """All that a run has found."""

    settings: Settings
    program: Program
    measured: tuple[Measured, ...]
    machine: Mapping[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether everything was measured to its end."""
        return not any(item.failure for item in self.measured)


@dataclass(frozen=True, slots=True)
class Judged:
    """A target, and what was seen."""

    nodes: int
    what: str
    limit: float
    unit: str
    seen: float

    @property
    def met(self) -> bool:
        """Whether it is no more than the limit."""
        return self.seen <= self.limit


TARGETED = 200
"""Nodes that the targets are for, forked and with one member of etcd, on two processors."""


def judge(results: Results) -> Sequence[Judged]:
    """The targets, where the run has what they are about."""
    settings = results.settings
    if not results.program.forks or settings.members != 1 or settings.in_force or settings.engines:
        return ()
    return [item for found in results.measured if found.nodes == TARGETED for item in _judge(found)]


def _judge(found: Measured) -> Iterable[Judged]:
    start = found.phase(Moment.START)
    if start is not None:
        yield Judged(found.nodes, Moment.START.value, 25.0, "s", start.seconds)
        yield Judged(found.nodes, "processor time of a node until then", 0.15, "s", start.cpu)
    yield Judged(found.nodes, "memory of a node (PSS)", 12.0, "MB", found.spread("pss").median / MB)
