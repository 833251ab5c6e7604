"""How long to wait before the next attempt, and how often to say that it failed."""

from dataclasses import dataclass
from typing import Final

__all__ = ["Patience"]

FIRST_DELAY: Final = 0.05
LONGEST_DELAY: Final = 2.0
FIRST_SILENCE: Final = 5.0
LONGEST_SILENCE: Final = 300.0


@dataclass(slots=True)
class Patience:
    """Attempts that fail, one after another: short delays first, and words at growing intervals.

    All times are seconds, of any clock that does not go back.
    """

    _delay: float = FIRST_DELAY
    _silence: float = FIRST_SILENCE
    _quiet_until: float = float("-inf")
    _said: str = ""

    def delay(self) -> float:
        """Seconds until the next attempt."""
        now, self._delay = self._delay, min(self._delay * 2, LONGEST_DELAY)
        return now

    def worth_saying(self, kind: str, now: float) -> bool:
        """Whether to say this failure: it is of another kind than the last, or nothing was said for long."""
        if kind == self._said and now < self._quiet_until:
            return False
        self._silence = min(self._silence * 2, LONGEST_SILENCE) if kind == self._said else FIRST_SILENCE
        self._said, self._quiet_until = kind, now + self._silence
        return True
