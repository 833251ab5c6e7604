"""How the clocks of a lab's engines differ, so that what machines write down has one time. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.errors import LabError

__all__ = ["CLOSE", "Clock", "Sample", "compare", "quickest", "require_close"]

CLOSE = 0.1
"""Seconds within which the difference of two clocks has to be known to judge by it. What is judged closest is
when a fault begins, by half a second (`lab.soak.invariants.flows`)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a machine has once answered. Times of here are CLOCK_MONOTONIC's."""

    asked: float
    answered: float
    wall: float
    """Our time of day when it was asked."""
    boot: str
    """Identifies the boot of its kernel: within one there is one CLOCK_MONOTONIC, and one time of day."""
    monotonic_there: float
    wall_there: float

    @property
    def within(self) -> float:
        """Seconds: it looked at its clocks in the middle of asking and answering, plus or minus this."""
        return (self.answered - self.asked) / 2

    @property
    def ahead(self) -> float:
        """How far its CLOCK_MONOTONIC is ahead of ours."""
        return self.monotonic_there - self.asked - self.within

    @property
    def wall_ahead(self) -> float:
        """How far its time of day is ahead of ours."""
        return self.wall_there - self.wall - self.within


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks of one engine's machines, all in seconds."""

    shift: float = 0.0
    """What its CLOCK_MONOTONIC needs to be that of the first engine's machines."""
    wall_ahead: float = 0.0
    """How far its time of day is ahead of ours."""
    wall_shift: float = 0.0
    """What its time of day needs to be that of the first engine's machines."""
    within: float = 0.0
    """Both are what they should be, plus or minus this. 0: it is the first engine's clock itself."""

    def wall(self, ours: float) -> float:
        """Its time of day when ours is this."""
        return ours + self.wall_ahead


def quickest(samples: Iterable[Sample]) -> Sample:
    """The one that says most."""
    return min(samples, key=lambda item: item.within)


def compare(every: Mapping[str, Sample]) -> Mapping[str, Clock]:
    """What is known of each engine's clocks, from an answer of each; the first engine's is everybody's."""
    found: dict[str, Clock] = {}
    for engine, sample in every.items():
        first = next(iter(every.values()))
        if sample.boot == first.boot:
            found[engine] = Clock(wall_ahead=sample.wall_ahead)
            continue
        found[engine] = Clock(
            shift=first.ahead - sample.ahead,
            wall_ahead=sample.wall_ahead,
            wall_shift=first.wall_ahead - sample.wall_ahead,
            within=first.within + sample.within,
        )
    return found


def require_close(every: Mapping[str, Sample]) -> None:
    """Raise `LabError` where clocks cannot be compared as closely as who judges by them needs it."""
    first = next(iter(every))
    for engine, clock in compare(every).items():
        if clock.within > CLOSE:
            first_way, way = 2000 * every[first].within, 2000 * every[engine].within
            known, needed = 1000 * clock.within, 1000 * CLOSE
            raise LabError(
                f"how far the clocks of the engines {first} and {engine} are apart is known to "
                f"{known:.0f} ms, and {needed:.0f} ms are needed to judge by them: machines there answer "
                f"after {first_way:.0f} and {way:.0f} ms at best",
                hint="Run it nearer to the engines, as on the machine of one of them.",
            )
