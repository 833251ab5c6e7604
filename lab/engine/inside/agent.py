"""Runs commands on this machine for somebody far away, as many at the same time as are asked for.

To begin a command in a container costs an engine more than most commands take; here it is done once for all.
Standard input and output are lines of JSON, bytes in base64:

    {"id": 1, "commands": {NAME: {"argv": ARGV, "input": BYTES, "within": SECONDS}}, "within": SECONDS}
    {"id": 1, "ready": true}
    {"id": 1, "go": true}
    {"id": 1, "ended": {NAME: {"out": BYTES, "err": BYTES, "exit": STATUS, "late": LATE}}}

The first and the third are input. What is asked for is begun with `go` and not before, so that a machine that
has stood still begins nothing that was given up meanwhile; `go: false` is for that.

`input`, and a deadline of a command's own, may be null. `late` is "" for a command that has ended by itself.
For one that was killed, with everything it had started, it is which of the deadlines it missed, "own", or
"all" for that of all, or "much", for it had printed too much; then its status is 124. It is 127 for a command
that cannot be run, and 128 and its number for one that a signal has ended. Where the input ends, so do the
commands: nobody far away waits for them any more.
"""

import base64
import contextlib
import fcntl
import json
import math
import os
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Collection
from typing import Any

NOT_DONE, CANNOT_RUN, NOT_FOUND = 124, 126, 127
SIGNALLED = 128
"""As timeout(1) and shells have them; to the last one a signal's number is added."""

KILLED_WITHIN = 1.0
"""Seconds that a killed command may take to end."""

CHUNK = 1 << 16

MOST = 1 << 26
"""Bytes that a command may print on each of its streams: they are kept until it has ended."""


class Job:
    """A command, from its start on. What it prints is read as it comes; what it leaves running, is not."""

    def __init__(self, asked: "dict[str, Any]", within: float) -> None:
        own: float | None = asked.get("within")
        seconds = within if own is None else min(own, within)
        self.reason = "own" if seconds < within else "all"
        self.ends_at = time.monotonic() + seconds
        self.late = ""
        self.status = NOT_FOUND
        self.printed: dict[int, bytearray] = {}
        self.out, self.err = bytearray(), bytearray()
        self.process: subprocess.Popen[bytes] | None = None
        self.pidfd = -1
        argv, given = asked["argv"], asked.get("input")
        source = subprocess.DEVNULL if given is None else _memory(base64.b64decode(given))
        pipe = subprocess.PIPE
        try:
            self.process = process = subprocess.Popen(
                argv, stdin=source, stdout=pipe, stderr=pipe, start_new_session=True
            )
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one request, others go on
            text = f"{argv[0] if argv else ''}: {getattr(error, 'strerror', None) or error}\n"
            self.err += text.encode(errors="surrogateescape")
            self.status = CANNOT_RUN if isinstance(error, PermissionError) else NOT_FOUND
            return
        finally:
            if source >= 0:
                os.close(source)
        for stream, kept in ((process.stdout, self.out), (process.stderr, self.err)):
            if stream is not None:  # which it never is
                os.set_blocking(stream.fileno(), False)
                self.printed[stream.fileno()] = kept
        self.pidfd = os.pidfd_open(process.pid)

    def read(self, descriptor: int) -> bool:
        """Read some of a stream; whether more may come."""
        kept = self.printed[descriptor]
        data = os.read(descriptor, CHUNK)
        kept += data
        if len(kept) > MOST:
            self.kill("much")
            return False
        return bool(data)

    def kill(self, why: str) -> None:
        """Kill it, with everything it has started, unless it has ended."""
        if self.process is not None and self.process.returncode is None:
            self.late = self.late or why
            # Until it is waited for, the number is not another's.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """It has ended, or cannot even be killed: close what there is of it."""
        process, self.process = self.process, None
        if process is None:
            return
        status = process.poll()  # None: stuck in the kernel
        for descriptor, kept in self.printed.items():
            # What a child that it has left prints from now on is not its own.
            with contextlib.suppress(BlockingIOError):
                kept += os.read(descriptor, _waiting(descriptor))
        if self.late or status is None:
            self.status = NOT_DONE
        else:
            self.status = status if status >= 0 else SIGNALLED - status
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        os.close(self.pidfd)

    def told(self) -> "dict[str, Any]":
        """What is answered about it."""
        out, err = (base64.b64encode(kept).decode() for kept in (self.out, self.err))
        return {"out": out, "err": err, "exit": self.status, "late": self.late}


def _waiting(descriptor: int) -> int:
    """Bytes that lie in a pipe."""
    (found,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
    return int(found)


def _memory(data: bytes) -> int:
    descriptor = os.memfd_create("input")
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def attend(jobs: "Collection[Job]") -> None:
    """Read what they print, until each has ended or was killed at its deadline."""
    poll = select.poll()
    owners: dict[int, Job] = {}
    running = {job for job in jobs if job.process is not None}
    for job in running:
        for descriptor in (*job.printed, job.pidfd):
            owners[descriptor] = job
            poll.register(descriptor, select.POLLIN)

    def over(job: Job) -> None:
        for descriptor in [each for each, owner in owners.items() if owner is job]:
            del owners[descriptor]
            poll.unregister(descriptor)
        job.end()
        running.discard(job)

    while running:
        left = min(job.ends_at for job in running) - time.monotonic()
        for descriptor, _ in poll.poll(max(0, math.ceil(1000 * left))):
            owner = owners.get(descriptor)
            if owner is None:  # it has ended meanwhile
                continue
            if descriptor == owner.pidfd:
                over(owner)
            elif not owner.read(descriptor):
                del owners[descriptor]
                poll.unregister(descriptor)
        now = time.monotonic()
        for job in [each for each in running if each.ends_at <= now]:
            if job.late:
                over(job)
            else:
                job.kill(job.reason)
                job.ends_at = now + KILLED_WITHIN


class Agent:
    """What answers requests, each in a thread of its own."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._saying = threading.Lock()
        self._asked: dict[int, dict[str, Any]] = {}
        self._running: dict[int, list[Job]] = {}

    def take(self, said: "dict[str, Any]") -> None:
        """Heed a line."""
        number = said["id"]
        if "commands" in said:
            self._asked[number] = said
            self._say({"id": number, "ready": True})
        elif (asked := self._asked.pop(number, None)) is not None and said["go"]:
            jobs = {name: Job(command, asked["within"]) for name, command in asked["commands"].items()}
            self._running[number] = list(jobs.values())
            threading.Thread(target=self._finish, args=(number, jobs), daemon=True).start()

    def _finish(self, number: int, jobs: "dict[str, Job]") -> None:
        attend(jobs.values())
        self._running.pop(number)
        self._say({"id": number, "ended": {name: job.told() for name, job in jobs.items()}})

    def _say(self, answer: "dict[str, Any]") -> None:
        left = memoryview(json.dumps(answer).encode() + b"\n")
        with self._saying, contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            while left:
                left = left[os.write(self._output, left) :]

    def close(self) -> None:
        """Kill what still runs."""
        for jobs in list(self._running.values()):
            for job in jobs:
                job.kill("gone")


if __name__ == "__main__":
    agent = Agent(sys.stdout.fileno())
    try:
        for line in sys.stdin.buffer:
            agent.take(json.loads(line))
    finally:
        agent.close()
    os._exit(0)  # threads may still write
