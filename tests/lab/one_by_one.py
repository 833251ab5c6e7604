"""An engine whose `run` is its `exec`, one command after the other: for those that a test pretends."""

from collections.abc import Callable, Mapping
from typing import Any

from lab import threads
from lab.engine import Command, Ended, ExecResult
from lab.errors import NoAnswer

__all__ = ["OneByOne"]


class OneByOne:
    """To be inherited from, before any other class."""

    exec: Callable[..., ExecResult]

    def run(
        self, container: str, commands: Mapping[str, Command], within: float, _: Any = None
    ) -> Mapping[str, Ended]:
        """As `Engine.run`."""
        return {name: self._ended(container, command, within) for name, command in commands.items()}

    def _ended(self, container: str, command: Command, within: float) -> Ended:
        given = None if command.stdin is None else [command.stdin]
        try:
            done = self.exec(container, command.argv, stdin=given, environment=None, within=within)
        except NoAnswer as error:
            raise threads.Late from error
        return Ended(done.exit_code, done.stdout, done.stderr)
