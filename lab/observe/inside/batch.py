"""Runs commands at the same time, so that a dozen questions cost one call to the engine.

Standard input: {NAME: ARGV}; argument: seconds for each. Prints {NAME: [OUT, ERR, EXIT]}. The exit status
is 124 for a command that did not finish in time and was killed with everything it had started, 127 for one
that cannot be run, and 128 and its number for one that a signal has ended.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO

NOT_DONE, NOT_FOUND = 124, 127
SIGNALLED = 128
"""As timeout(1) and shells have them; to the last one a signal's number is added."""


KILLED_WITHIN = 1.0
"""Seconds that a killed command may take to end."""


class Job:
    """A running command. Its output goes to files: a pipe could fill up while we wait for another command."""

    def __init__(self, argv: list[str]) -> None:
        self.out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - gone with the process
        self.err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err, start_new_session=True
            )
        except OSError as error:
            self.err.write(f"{argv[0]}: {error.strerror}\n".encode())

    def end(self, deadline: float) -> int:
        """Wait for its exit status, until `deadline` (of `time.monotonic`) at the latest."""
        if self.process is None:
            return NOT_FOUND
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # the number is ours until `wait` has reaped it
            with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel
                self.process.wait(KILLED_WITHIN)
            return NOT_DONE
        return status if status >= 0 else SIGNALLED - status

    def read(self) -> tuple[str, str]:
        """What it has printed, once: standard output and standard error."""
        return _text(self.out), _text(self.err)


def _text(file: IO[bytes]) -> str:
    with file:
        file.seek(0)
        return file.read().decode(errors="replace")


def run(commands: dict[str, list[str]], seconds: float) -> dict[str, tuple[str, str, int]]:
    """How each command ended."""
    deadline = time.monotonic() + seconds
    jobs = {name: Job(argv) for name, argv in commands.items()}
    ends = {name: job.end(deadline) for name, job in jobs.items()}
    return {name: (*job.read(), ends[name]) for name, job in jobs.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.load(sys.stdin), float(sys.argv[1]))))
