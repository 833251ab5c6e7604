"""A command of the extension backend as a process, which has so much time and no more."""

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO, cast

from flanneld_py.runtime import clock
from flanneld_py.runtime.environment import environment

__all__ = ["run"]

MOST_OUTPUT = 64 * 1024
"""Bytes of a command's output that are kept."""

LOOK = 50
"""Milliseconds between two looks at whether a command that prints nothing has ended."""


def run(argv: Sequence[str], variables: Mapping[str, str], given: str, longest: float) -> str:
    """What it printed, stripped; `given` is its standard input, and `longest` the seconds that it has.

    OSError or ValueError says what was run and what came of it.
    """
    with os.fdopen(os.memfd_create("given"), "w+b") as stdin:
        stdin.write(f"{given}\n".encode())
        stdin.seek(0)
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(os.environ, **variables),
            start_new_session=True,
        )
    try:
        raw = _output(process, longest)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise ValueError(f"{argv} was killed after {longest:.0f} s") from None
    output = raw.decode(errors="replace").strip()
    if process.returncode != 0:
        raise ValueError(f"{argv} ended with exit status {process.returncode}: {output[-500:]}")
    return output


def _output(process: "subprocess.Popen[bytes]", longest: float) -> bytes:
    """What it prints until it ends, `MOST_OUTPUT` bytes at most. Raises `TimeoutExpired`.

    Not `communicate`, which waits for the end of all that it started: a daemon, say, that keeps its output.
    """
    deadline = clock.now() + longest
    kept = bytearray()
    with cast("IO[bytes]", process.stdout) as stdout:
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while True:
            ended = process.poll() is not None
            if poll.poll(0 if ended else LOOK):
                chunk = os.read(stdout.fileno(), MOST_OUTPUT)
                kept += chunk[: MOST_OUTPUT - len(kept)]
                if not chunk:
                    process.wait(max(0.0, deadline - clock.now()))
                    return bytes(kept)
            elif ended:
                return bytes(kept)
            if ended and len(kept) >= MOST_OUTPUT:
                return bytes(kept)
            if not ended and clock.now() >= deadline:
                raise subprocess.TimeoutExpired(process.args, longest)
