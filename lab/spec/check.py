"""A check of the lab file's own: a command on a node, and what must come of it."""

import re
import shlex

from lab.validation import Model

__all__ = ["CommandCheck"]


class CommandCheck(Model):
    """A command that has to end with this status, and print something that matches, in time."""

    name: str
    node: str
    """On which it runs."""
    run: tuple[str, ...]
    """The argument list."""
    status: int = 0
    """The exit status it has to end with."""
    output: str | None = None
    """A regular expression that has to be found in what it prints to standard output."""
    within: float = 10.0
    """Seconds within which it has to end."""

    def describe(self) -> str:
        """What must come of it, in words."""
        words = f"exit status {self.status} from: {shlex.join(self.run)}"
        return words if self.output is None else f"{words}, with output like {self.output}"

    def holds(self, status: int, output: str) -> bool:
        """Whether this is how it had to end."""
        return status == self.status and (
            self.output is None or re.search(self.output, output, re.MULTILINE) is not None
        )
