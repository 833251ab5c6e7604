"""How long to wait before the next attempt, and how often to log that it failed."""

from dataclasses import dataclass, field
from typing import Final

__all__ = ["FIRST_DELAY", "Backoff"]

FIRST_DELAY: Final = 0.05
LONGEST_DELAY: Final = 2.0
FIRST_SILENCE: Final = 5.0
LONGEST_SILENCE: Final = 300.0


@dataclass(slots=True)
class Backoff:
    """Attempts that fail, one after another: short delays first, and log messages at growing intervals.

    All times are seconds, of any clock that does not go back.
    """

    _delay: float = FIRST_DELAY
    _said: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Kind of failure -> when it was logged last, and how long to be silent about it from then on."""

    def delay(self) -> float:
        """Seconds until the next attempt."""
        now, self._delay = self._delay, min(self._delay * 2, LONGEST_DELAY)
        return now

    def worth_saying(self, kind: str, now: float) -> bool:
        """Whether to log this failure: it is the first of its kind, or the last was long ago."""
        said_at, silence = self._said.get(kind, (float("-inf"), FIRST_SILENCE / 2))
        if now < said_at + silence:
            return False
        self._said[kind] = now, min(silence * 2, LONGEST_SILENCE)
        return True
