"""What an overlay stands on, as the reconciler sees it."""

from typing import Protocol

from flanneld_py.underlay.follower import UnderlayChange

__all__ = ["FixedUnderlay", "Underlay"]


class Underlay(Protocol):
    """The external interface: `follower.UnderlayFollower`, or a test's."""

    trouble: str
    """What is missing; empty if nothing is."""

    def seen(self) -> UnderlayChange | None:
        """How it has changed, until `take` is called. Raises `Fatal`, `OSError`."""

    def take(self, move: UnderlayChange) -> None:
        """The move was made."""


class FixedUnderlay:
    """See `Underlay`. It never changes."""

    trouble = ""

    def seen(self) -> UnderlayChange | None:
        """See `Underlay`."""
        return None

    def take(self, move: UnderlayChange) -> None:
        """See `Underlay`."""
