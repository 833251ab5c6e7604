"""How long `lab up` took, phase by phase, from its events. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.bundle.plan import OUTCOMES
from lab.errors import Unfit
from lab.report.documents import Happening, read

__all__ = ["PHASES", "Phase", "StepTime", "Timings", "happenings", "timed"]

PHASES = {
    "images": "images",
    "network": "networks",
    "node": "machines",
    "etcd": "etcd",
    "flanneld": "flanneld",
    "docker": "flanneld and Docker",
    "pod": "pods",
    "checks": "checks",
}
"""By the first word of a step of the plan (`lab.cluster.plan`)."""


@dataclass(frozen=True, slots=True)
class StepTime:
    """A step of `lab up`."""

    name: str
    began: float
    """Seconds from the first event."""
    seconds: float
    outcome: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Phase:
    """Steps of one kind, which may overlap."""

    title: str
    steps: tuple[StepTime, ...]

    @property
    def began(self) -> float:
        """When the first of its steps began."""
        return min(step.began for step in self.steps)

    @property
    def ended(self) -> float:
        """When the last of them was over."""
        return max(step.began + step.seconds for step in self.steps)

    @property
    def seconds(self) -> float:
        """From its beginning to its end."""
        return self.ended - self.began

    @property
    def well(self) -> bool:
        """Whether all of them came to their end."""
        return all(step.outcome == "done" for step in self.steps)


@dataclass(frozen=True, slots=True)
class Timings:
    """All phases, in the order in which they began."""

    phases: tuple[Phase, ...]

    @property
    def seconds(self) -> float:
        """From the first step's beginning to the last one's end."""
        return max((phase.ended for phase in self.phases), default=0.0)

    @property
    def failed(self) -> Sequence[StepTime]:
        """The steps that failed."""
        return [step for phase in self.phases for step in phase.steps if step.outcome == "failed"]


def happenings(text: str, source: str) -> tuple[Happening, ...]:
    """The events of a file. What was cut off in the middle of its last line is let go. Raises `Unfit`."""
    lines = text.split("\n")
    last = lines.pop()
    found = [
        read(Happening, line, f"{source}:{number}", "lab up --events FILE")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if last.strip() and not found:
        raise Unfit(
            f"{source}: there is no whole line", hint="It takes what this writes: lab up --events FILE"
        )
    return tuple(found)


def timed(events: Iterable[Happening]) -> Timings:
    """What they tell of the steps that are no part of another one."""
    every = list(events)
    first = min((event.at for event in every), default=None)
    last = max((event.at for event in every), default=None)
    over = {event.step: event for event in every if event.event in OUTCOMES}
    phases: dict[str, list[StepTime]] = {}
    for event in every:
        if event.event != "step-began" or event.parent is not None or first is None or last is None:
            continue
        end = over.get(event.step)
        step = StepTime(
            event.name,
            (event.at - first).total_seconds(),
            end.seconds if end is not None else (last - event.at).total_seconds(),
            OUTCOMES[end.event] if end is not None else "not over",
            end.error if end is not None else "",
        )
        phases.setdefault(_phase(event.name), []).append(step)
    return Timings(tuple(Phase(title, tuple(steps)) for title, steps in phases.items()))


def _phase(name: str) -> str:
    """A lab file's own service is waited for by `UNIT on NODE`; what is no step of a plan stands alone."""
    word = name.partition(" ")[0]
    return PHASES.get(word, "other services" if " on " in name else name)
