"""Runs commands at the same time, so that a dozen questions cost one call to the engine.

Standard input: {NAME: ARGV}, or {NAME: {"argv": ARGV, "within": SECONDS}} where a command has a deadline of
its own; argument: seconds for each. Prints {NAME: [OUT, ERR, EXIT, LATE]}: LATE is "" for a command that has
ended by itself, and for one that was killed, with everything it had started, which of the two deadlines it
missed, "within" or "seconds"; then EXIT is 124. It is 127 for a command that cannot be run, and 128 and its
number for one that a signal has ended.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO, Any

NOT_DONE, NOT_FOUND = 124, 127
SIGNALLED = 128
"""As timeout(1) and shells have them; to the last one a signal's number is added."""


KILLED_WITHIN = 1.0
"""Seconds that a killed command may take to end."""


class Job:
    """A running command. Its output goes to files: a pipe could fill up while we wait for another command."""

    def __init__(self, asked: "list[str] | dict[str, Any]") -> None:
        argv = asked["argv"] if isinstance(asked, dict) else asked
        self.within = float(asked["within"]) if isinstance(asked, dict) else None
        self.began = time.monotonic()
        self.late = ""
        self.out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - gone with the process
        self.err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err, start_new_session=True
            )
        except (OSError, ValueError) as error:
            self.err.write(f"{argv[0]}: {getattr(error, 'strerror', error)}\n".encode())

    def end(self, deadline: float) -> int:
        """Wait for its exit status, until `deadline` (of `time.monotonic`) at the latest."""
        if self.process is None:
            return NOT_FOUND
        reason = "seconds"
        if self.within is not None and self.began + self.within < deadline:
            reason, deadline = "within", self.began + self.within
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.late = reason
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


def run(commands: "dict[str, Any]", seconds: float) -> "dict[str, tuple[str, str, int, str]]":
    """How each command ended."""
    deadline = time.monotonic() + seconds
    jobs = {name: Job(argv) for name, argv in commands.items()}
    # Those that have to end first are looked at first.
    soonest = sorted(jobs, key=lambda name: jobs[name].within or seconds)
    ends = {name: jobs[name].end(deadline) for name in soonest}
    return {name: (*job.read(), ends[name], job.late) for name, job in jobs.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run(json.load(sys.stdin), float(sys.argv[1]))))
