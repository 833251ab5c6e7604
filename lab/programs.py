"""Programs of this machine, run to their end; none without a deadline.

Python's library alone: `lab.apt` runs before there is a virtual environment.
"""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from lab.errors import NoAnswer

__all__ = ["run"]


def run(
    argv: Sequence[str],
    *,
    within: float,
    environment: Mapping[str, str] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, with nothing on its standard input.

    What it prints is in the result, unless a file is given for it. Raises `NoAnswer` when it has not
    ended within so many seconds, and is killed then; `OSError` when it cannot be run.
    """
    try:
        return subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout or subprocess.PIPE,
            stderr=stderr or subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            timeout=within,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise NoAnswer("this machine", shlex.join(argv), within) from error
