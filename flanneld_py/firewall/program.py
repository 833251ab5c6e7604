"""Running the programs that change the packet filter."""

import os
import subprocess
from collections.abc import Sequence
from typing import Final

from flanneld_py.runtime.environment import environment

__all__ = ["ProgramFailed", "ProgramMissing", "run"]

TIMEOUT: Final = 15.0
"""Seconds that a program may take; the lock of iptables alone may be waited for 5."""


class ProgramFailed(OSError):
    """A program did not do it; the message says which one, and why.

    `for_now`: that it is not there, or not done in time, says nothing about the rules.
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
    """What a program prints; `given` is its standard input. Raises `ProgramFailed`."""
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
