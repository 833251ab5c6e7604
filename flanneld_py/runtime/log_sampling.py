"""Which of many things of a kind the log names, and which it only counts. Pure."""

from dataclasses import dataclass
from typing import Final

__all__ = ["FEW", "LogSample"]

FEW: Final = 5
"""How many are named in a row."""

BETWEEN: Final = 60.0
"""Seconds after which one more may be named."""


@dataclass(slots=True)
class LogSample:
    """Somebody may write 50,000 keys: a log that named each would bury everything else.

    Times are seconds of any clock that does not go back.
    """

    _left: float = FEW
    _at: float = float("-inf")
    _unnamed: int = 0

    def tell(self, text: str, now: float) -> str:
        """What to log instead of `text`; empty if it is only counted."""
        self._left, self._at = min(FEW, self._left + max(0.0, now - self._at) / BETWEEN), now
        if self._left < 1:
            self._unnamed += 1
            return "" if self._unnamed > 1 else f"{text}. Further ones are only counted for a while"
        self._left -= 1
        unnamed, self._unnamed = self._unnamed, 0
        # The first of them was logged.
        return f"{text} (and {unnamed - 1} others before it)" if unnamed > 1 else text
