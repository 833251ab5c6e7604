"""What was logged already, so that it is logged once. Pure."""

from typing import Final

__all__ = ["Once"]

REMEMBERED: Final = 10_000
"""Topics that are remembered; peers come and go for as long as the daemon runs."""


class Once:
    """The topics that were logged last."""

    def __init__(self) -> None:
        self._topics: dict[str, None] = {}

    def is_new(self, topic: str) -> bool:
        """Whether this one was not logged yet; from now on it was."""
        if topic in self._topics:
            return False
        if len(self._topics) >= REMEMBERED:
            del self._topics[next(iter(self._topics))]
        self._topics[topic] = None
        return True
