"""What an overlay stands on, as those see it who keep it up."""

from typing import Protocol

from flanneld_py.underlay.follower import Move

__all__ = ["Ground", "Rock"]


class Ground(Protocol):
    """The external interface: `underlay.Underlay`, or a test's."""

    trouble: str
    """What is missing, so that there is nothing to stand on."""

    def seen(self) -> Move | None:
        """How it has changed, until `take` is told. Raises `Fatal`, `OSError`."""

    def take(self, move: Move) -> None:
        """The move was made."""


class Rock:
    """See `Ground`. It never moves."""

    trouble = ""

    def seen(self) -> Move | None:
        """See `Ground`."""
        return None

    def take(self, move: Move) -> None:
        """See `Ground`."""
