"""What the lab raises. Only `lab.cli` turns these into output and an exit status."""

import shlex
from collections.abc import Sequence

__all__ = ["CommandError", "LabError", "NoAnswer", "Unfit"]


class LabError(Exception):
    """What was attempted and seen, in one line, with a hint at what to do about it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unfit(LabError):
    """This machine, or this input, cannot serve: nothing was started. `lab` exits 2."""

    exit_code = 2


class NoAnswer(LabError):
    """What was asked did not answer in time: it hangs, or it is slower than we have patience."""

    def __init__(self, where: str, what: str, seconds: float) -> None:
        super().__init__(
            f"{where}: no answer within {seconds:.0f} s from: {what}",
            hint="If the machine is only slow, LAB_PATIENCE=3 lets everything take three times as long.",
        )
        self.where = where
        self.what = what
        self.seconds = seconds


class CommandError(LabError):
    """A command failed; the message has it in a form that can be pasted into a shell."""

    def __init__(
        self,
        where: str,
        argv: Sequence[str],
        exit_code: int,
        output: str,
        *,
        pasted: str = "",
        hint: str = "",
    ) -> None:
        """`pasted` is what runs it from here, where that is more than its words."""
        tail = "\n".join(f"    {line}" for line in output.strip().splitlines()[-8:])
        command = pasted or shlex.join(argv)
        super().__init__(
            f"{where}: exit status {exit_code} from: {command}" + (f"\n{tail}" if tail else ""), hint=hint
        )
        self.argv = tuple(argv)
        self.status = exit_code
        self.output = output
