"""What an overlay stands on, as those see it who keep it up."""

from typing import Protocol

from flanneld_py.underlay.follower import UnderlayChange

__all__ = ["FixedUnderlay", "Underlay"]


class Underlay(Protocol):
    """The external interface: `underlay.Underlay`, or a test's."""

    trouble: str
    """What is missing, so that there is nothing to stand on."""

    def seen(self) -> UnderlayChange | None:
        """How it has changed, until `take` is told. Raises `Fatal`, `OSError`."""

    def take(self, move: UnderlayChange) -> None:
        """The move was made."""


class FixedUnderlay:
    """See `Underlay`. It never moves."""

    trouble = ""

    def seen(self) -> UnderlayChange | None:
        """See `Underlay`."""
        return None

    def take(self, move: UnderlayChange) -> None:
        """See `Underlay`."""
