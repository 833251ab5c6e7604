"""Which of many things of a kind a log names, and how many it only counts. Pure."""

from dataclasses import dataclass
from typing import Final

__all__ = ["FEW", "LogSample"]

FEW: Final = 5
"""That many are named at once."""

BETWEEN: Final = 60.0
"""Seconds after which one more may be named."""


@dataclass(slots=True)
class LogSample:
    """Somebody may write 50,000 keys: a log that names each of them hides everything else.

    Times are seconds of any clock that does not go back.
    """

    _left: float = FEW
    _at: float = float("-inf")
    _unnamed: int = 0

    def tell(self, text: str, now: float) -> str:
        """What to say instead of `text`; empty: nothing, it is only counted."""
        self._left, self._at = min(FEW, self._left + max(0.0, now - self._at) / BETWEEN), now
        if self._left < 1:
            self._unnamed += 1
            return "" if self._unnamed > 1 else f"{text}. More of the kind are counted, not told, for a while"
        self._left -= 1
        unnamed, self._unnamed = self._unnamed, 0
        # The first of them was told, too.
        return f"{text} (and {unnamed - 1} others before it)" if unnamed > 1 else text
