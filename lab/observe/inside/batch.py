"""Runs commands at the same time, so that a dozen questions cost one call of the engine.

Standard input: {NAME: ARGV}; argument: seconds that each has. Prints {NAME: [OUT, ERR, EXIT]}. The exit
status is 124 for a command that was not done in time, and was killed with all that it had started, and 127
for one that cannot be run.
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
"""Of timeout(1), and of a shell."""


KILLED_WITHIN = 1.0
"""Seconds."""


class Job:
    """A command under way. Its output goes to files: no pipe fills up while another command is waited for."""

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
        """Its exit status, at the latest at that time (`time.monotonic`)."""
        if self.process is None:
            return NOT_FOUND
        try:
            return self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # it is ours until `wait` has told of its end
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that the kernel holds up
                self.process.wait(KILLED_WITHIN)
            return NOT_DONE

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
