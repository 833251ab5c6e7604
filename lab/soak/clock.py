"""How the clocks of a lab's engines differ, so that what machines write down has one time. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.errors import LabError

__all__ = ["CLOSE", "SAMPLES", "Clock", "Sample", "clocks"]

SAMPLES = 8
"""Times that a machine is asked: the quickest answer says most (RFC 5905, section 10)."""

CLOSE = 0.1
"""Seconds within which the difference of two clocks has to be known. What is judged closest is when a fault
begins, by half a second (`lab.soak.invariants.flows`)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a machine has once answered. Times of here are CLOCK_MONOTONIC's."""

    asked: float
    answered: float
    wall: float
    """Our time of day when it was asked."""
    boot: str
    """Identifies the boot of its kernel: within one there is one CLOCK_MONOTONIC."""
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


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks of one engine's machines."""

    shift: float = 0.0
    """What its CLOCK_MONOTONIC needs to be that of the first engine's machines."""
    wall_ahead: float = 0.0
    """How far its time of day is ahead of ours."""

    def wall(self, ours: float) -> float:
        """Its time of day when ours is this."""
        return ours + self.wall_ahead


def clocks(every: Mapping[str, Sequence[Sample]]) -> Mapping[str, Clock]:
    """What is known of each engine's clocks; the first engine's is everybody's.

    Raises `LabError` where one cannot be compared closely enough.
    """
    quickest = {engine: min(samples, key=lambda item: item.within) for engine, samples in every.items()}
    found: dict[str, Clock] = {}
    first = ""
    for engine, sample in quickest.items():
        wall_ahead = sample.wall_there - sample.wall - sample.within
        if not found:
            first, found[engine] = engine, Clock(0.0, wall_ahead)
            continue
        if sample.boot == quickest[first].boot:
            found[engine] = Clock(0.0, wall_ahead)
            continue
        within = sample.within + quickest[first].within
        if within > CLOSE:
            first_way, way = 2000 * quickest[first].within, 2000 * sample.within
            raise LabError(
                f"how far the clocks of the engines {first} and {engine} are apart is known to "
                f"{within * 1000:.0f} ms, and {CLOSE * 1000:.0f} ms are needed to judge by them: machines "
                f"there answer after {first_way:.0f} and {way:.0f} ms at best",
                hint="Run it nearer to the engines, as on the machine of one of them.",
            )
        found[engine] = Clock(quickest[first].ahead - sample.ahead, wall_ahead)
    return found
