"""Runs commands on this machine for somebody far away, as many at the same time as are asked for.

To begin a command in a container costs an engine more than most commands take; here it is done once for all.
Standard input and output are lines of JSON, bytes in base64:

    {"id": 1, "commands": {NAME: {"argv": ARGV, "input": BYTES, "within": SECONDS}}, "within": SECONDS}
    {"id": 1, "began": true}
    {"id": 1, "ended": {NAME: {"out": BYTES, "err": BYTES, "exit": STATUS, "late": LATE}}}

`input`, and a deadline of a command's own, may be null. `late` is "" for a command that has ended by itself.
For one that was killed, with everything it had started, it is which of the deadlines it missed: "own", or
"all" for that of all; then its status is 124. It is 127 for a command that cannot be run, and 128 and its
number for one that a signal has ended. Where the input ends, so do the commands: nobody far away waits for
them any more.
"""

import base64
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

NOT_DONE, NOT_FOUND = 124, 127
SIGNALLED = 128
"""As timeout(1) and shells have them; to the last one a signal's number is added."""

KILLED_WITHIN = 1.0
"""Seconds that a killed command may take to end."""

CHUNK = 1 << 16


class Job:
    """A running command. Its output goes to memory: a pipe could fill up, and a disk may be full."""

    def __init__(self, asked: "dict[str, Any]") -> None:
        self.within: float | None = asked.get("within")
        self.began = time.monotonic()
        self.late = ""
        self.out, self.err = os.memfd_create("out"), os.memfd_create("err")
        self.process: subprocess.Popen[bytes] | None = None
        given = asked.get("input")
        argv = asked["argv"]
        source = subprocess.DEVNULL if given is None else _memory(base64.b64decode(given))
        try:
            self.process = subprocess.Popen(
                argv, stdin=source, stdout=self.out, stderr=self.err, start_new_session=True
            )
        except (OSError, ValueError) as error:
            os.write(self.err, f"{argv[0]}: {getattr(error, 'strerror', None) or error}\n".encode())
        finally:
            if source >= 0:
                os.close(source)

    def end(self, deadline: float) -> int:
        """Wait for its exit status, until `deadline` (of `time.monotonic`) at the latest."""
        if self.process is None:
            return NOT_FOUND
        reason = "all"
        if self.within is not None and self.began + self.within < deadline:
            reason, deadline = "own", self.began + self.within
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.late = reason
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel
                self.process.wait(KILLED_WITHIN)
            return NOT_DONE
        return status if status >= 0 else SIGNALLED - status

    def kill(self) -> None:
        """Kill it, with everything it has started."""
        # Until it is waited for, the number is not another's.
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def told(self, status: int) -> "dict[str, Any]":
        """What is answered about it, once."""
        return {"out": _text(self.out), "err": _text(self.err), "exit": status, "late": self.late}


def _memory(data: bytes) -> int:
    descriptor = os.memfd_create("input")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _text(descriptor: int) -> str:
    with open(descriptor, "rb") as file:
        file.seek(0)
        return base64.b64encode(file.read()).decode()


class Agent:
    """What answers requests, each in a thread of its own."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._saying = threading.Lock()
        self._running: dict[int, list[Job]] = {}

    def take(self, line: bytes) -> None:
        """Begin what a line asks for."""
        asked = json.loads(line)
        jobs = {name: Job(command) for name, command in asked["commands"].items()}
        self._running[asked["id"]] = list(jobs.values())
        self._say({"id": asked["id"], "began": True})
        threading.Thread(target=self._finish, args=(asked, jobs), daemon=True).start()

    def _finish(self, asked: "dict[str, Any]", jobs: "dict[str, Job]") -> None:
        deadline = time.monotonic() + asked["within"]
        # Those that have to end first are looked at first.
        soonest = sorted(jobs, key=lambda name: jobs[name].within or asked["within"])
        ends = {name: jobs[name].end(deadline) for name in soonest}
        self._running.pop(asked["id"])
        self._say({"id": asked["id"], "ended": {name: job.told(ends[name]) for name, job in jobs.items()}})

    def _say(self, answer: "dict[str, Any]") -> None:
        left = json.dumps(answer).encode() + b"\n"
        with self._saying, contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            while left:
                left = left[os.write(self._output, left) :]

    def close(self) -> None:
        """Kill what still runs."""
        for jobs in list(self._running.values()):
            for job in jobs:
                job.kill()


def requests(descriptor: int) -> "Iterator[bytes]":
    """The lines that come in, until there will be no more.

    After a machine has stood still, what was asked of it and given up meanwhile lies there with the end
    behind it. Such requests are not begun, so a look at what else there is comes before any is.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    left = b""
    while chunk := os.read(descriptor, CHUNK):
        left += chunk
        if not poll.poll(0):
            *lines, left = left.split(b"\n")
            yield from lines


if __name__ == "__main__":
    agent = Agent(sys.stdout.fileno())
    for line in requests(sys.stdin.fileno()):
        agent.take(line)
    agent.close()
    os._exit(0)  # threads may still write
