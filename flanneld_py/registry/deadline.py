"""How long the answer to one call of a registry is waited for. Pure."""

from typing import Final

__all__ = ["LONGEST", "Deadline"]

LONGEST: Final = 4
"""How many times as long as usual is waited at most: what looks after this machine waits, too."""


class Deadline:
    """Seconds for one call: twice as many after each that nobody has answered in time, half after an answer.

    A machine, or an etcd, that cannot keep up answers late. Whoever gives up and asks again, with a new
    connection, makes it later still: of hundreds of daemons that do so, none ever has its answer. To connect,
    which is the kernel's work, `usual` is enough: what does not connect in time is not there.
    """

    def __init__(self, usual: float) -> None:
        self.seconds = self.usual = usual

    def missed(self) -> None:
        """Nobody has answered in time."""
        self.seconds = min(2 * self.seconds, LONGEST * self.usual)

    def met(self) -> None:
        """There was an answer."""
        self.seconds = max(self.seconds / 2, self.usual)
