"""Runs the programs that change the packet filter."""

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from flanneld_py.runtime.environment import environment

__all__ = ["ProgramFailed", "ProgramMissing", "run"]

TIMEOUT: Final = 15.0
"""Time limit in seconds for a program; waiting for the iptables lock alone may take 5."""


class ProgramFailed(OSError):
    """A program failed; the message says which one, and why.

    `for_now`: the failure says nothing about the rules: the program is missing, or did not finish in time.
    """

    def __init__(self, message: str, *, for_now: bool = False) -> None:
        super().__init__(message)
        self.for_now = for_now


class ProgramMissing(ProgramFailed):
    """The program is not installed. `program` is its name."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} was not found", for_now=True)
        self.program = program


def run(argv: Sequence[str], given: str = "") -> str:
    """Run a program with `given` on its standard input; return its output. Raises `ProgramFailed`."""
    try:
        done = subprocess.run(
            argv, input=given, capture_output=True, encoding="utf-8", errors="surrogateescape",
            timeout=TIMEOUT, check=False, env=environment(os.environ, LC_ALL="C"),
        )  # fmt: skip
    except FileNotFoundError:
        raise ProgramMissing(argv[0]) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProgramFailed(str(error), for_now=True) from error
    if done.returncode != 0:
        why = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise ProgramFailed(f"{' '.join(argv)}: {why}", for_now="xtables lock" in why)
    return done.stdout
