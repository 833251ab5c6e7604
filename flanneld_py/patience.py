"""How long to wait before the next attempt, and how often to say that it failed."""

from dataclasses import dataclass, field

__all__ = ["Patience"]

FIRST_DELAY, LONGEST_DELAY = 0.05, 2.0  # seconds
FIRST_SILENCE, LONGEST_SILENCE = 5.0, 300.0  # seconds


@dataclass(slots=True)
class Patience:
    """Attempts that fail, one after another: short delays first, and words at growing intervals."""

    _delay: float = FIRST_DELAY
    _silence: float = FIRST_SILENCE
    _quiet_until: float = field(default=float("-inf"))
    _said: str = ""

    def delay(self) -> float:
        """Seconds until the next attempt."""
        now, self._delay = self._delay, min(self._delay * 2, LONGEST_DELAY)
        return now

    def worth_saying(self, message: str, now: float) -> bool:
        """Whether to say this failure: it is a new one, or it was long enough that nothing was said.

        `now` is any clock in seconds that does not go back.
        """
        if message == self._said and now < self._quiet_until:
            return False
        if message == self._said:
            self._silence = min(self._silence * 2, LONGEST_SILENCE)
        self._said, self._quiet_until = message, now + self._silence
        return True
