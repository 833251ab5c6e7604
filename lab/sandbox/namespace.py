"""A network namespace of the container, as whoever wants commands run on a machine sees one."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.engine import ExecResult
from lab.errors import CommandError
from lab.sandbox.box import Box

__all__ = ["Namespace"]


@dataclass(frozen=True)
class Namespace:
    """It runs commands (`lab.protocols.Runs`)."""

    box: Box
    name: str

    def run(
        self,
        argv: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes | None = None,
        within: float | None = None,
    ) -> ExecResult:
        """See `Runs`; what is late has exit status 124. Raises `CommandError` on failure if `check`."""
        done = self.box.run(*argv, timeout=within, netns=self.name, given=(stdin or b"").decode())
        if check and done.exit != 0:
            raise CommandError(self.name, argv, done.exit, done.said)
        return ExecResult(done.exit, done.out.encode(), str(done["err"]).encode())
