"""What is added to the times that machines tell, so that those of several engines have one clock. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.clocks.compare import Clock, Sample, compare

__all__ = ["AS_IT_IS", "Correction", "Corrections", "corrections"]


@dataclass(frozen=True, slots=True)
class Correction:
    """For the machines of one engine."""

    added: int = 0
    """Nanoseconds."""
    description: str = ""
    """How the times of their places are to be read; empty where there is nothing to say."""


AS_IT_IS = Correction()


@dataclass(frozen=True, slots=True)
class Corrections:
    """By engine, and what somebody who captures is told of them."""

    of_engine: Mapping[str, Correction]
    told: Sequence[str] = ()

    def of(self, engine: str) -> Correction:
        """That of an engine's machines."""
        return self.of_engine.get(engine, AS_IT_IS)


def corrections(asked: Mapping[str, Sample | str]) -> Corrections:
    """Those that give all machines the clock of the first engine that has told its own.

    Asked was one machine of each engine; where it did not answer, there is the reason.
    """
    clocks = compare({engine: it for engine, it in asked.items() if isinstance(it, Sample)})
    first = next(iter(clocks), "")
    found, told = {}, []
    for engine, answer in asked.items():
        if isinstance(answer, str):
            words = f"the clock of the engine {engine} could not be compared with that of others"
            found[engine] = Correction(0, words)
            told.append(f"{words}, and its machines' times are not corrected: {answer}")
        elif (clock := clocks[engine]).within:
            found[engine] = _of(engine, first, clock)
            how = "behind" if clock.wall_shift >= 0 else "ahead of"
            told.append(
                f"the clock of the engine {engine} is {_ms(abs(clock.wall_shift))} {how} that of {first}, "
                f"± {_ms(clock.within)}: its machines' times are corrected by that"
            )
    return Corrections(found, told)


def _of(engine: str, first: str, clock: Clock) -> Correction:
    sign = "-" if clock.wall_shift < 0 else "+"
    by = f"{sign} {_ms(abs(clock.wall_shift))} ± {_ms(clock.within)}"
    words = f"times are those of the engine {engine} {by}: by the clock of {first}"
    return Correction(round(clock.wall_shift * 10**9), words)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"
