"""Runs a command for as long as somebody far away wants it, and ends it with all that it has started.

The engine goes on with a command when its client has gone away, and has no call that ends one. This file
runs on a machine of the lab and imports nothing of ours:

    supervise MARK COMMAND...   MARK is in the command's environment, such as LAB_EXEC=0123
    supervise MARK              ends what bears that mark

The command has this program's own standard output and error; this program's standard input are frames: a
letter, a length of four bytes (big endian), and as many bytes. `d` is for the command's standard input, `e`
ends that, `s` is a signal's number. Where the frames end, so does the command: that is what becomes of them
when the far end has gone, however it went. A command that ends by itself may leave something running, as
it may everywhere.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

FRAMES = 0
HEAD = 5

CANNOT_RUN, NOT_FOUND, BY_SIGNAL = 126, 127, 128
"""A shell's exit statuses, 2.8.2 of the shell language in POSIX; with the last one, a signal's number."""

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h: what loses its parent becomes a child of ours, and so is found."""

MUCH = 1 << 20
"""Bytes for a command that does not read; more are left where they are."""

GRACE = 1.0
"""Seconds between SIGTERM and SIGKILL."""

HOPELESS = 10.0
"""Seconds after which what SIGKILL has not ended is left alone: it sits in the kernel."""


class Input:
    """A command's standard input, which it need not read, and may close."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._pending = bytearray()
        self._ends = False
        self.is_open = True

    @property
    def waits(self) -> bool:
        """Whether there is something to be written."""
        return self.is_open and bool(self._pending or self._ends)

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken for now."""
        return len(self._pending) >= MUCH

    def take(self, data: bytes) -> None:
        """Take more of it."""
        if self.is_open:
            self._pending += data

    def end(self) -> None:
        """No more comes."""
        self._ends = True

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def write(self) -> None:
        """Write what can be written."""
        try:
            del self._pending[: os.write(self._descriptor, self._pending)]
        except BlockingIOError:
            return
        except OSError:  # the command reads no more
            self._pending.clear()
            self._ends = True
        if self._ends and not self._pending:
            os.close(self._descriptor)
            self.is_open = False


def supervise(mark: str, argv: list[str]) -> int:
    """Run the command; its exit status, as a shell gives it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    theirs, ours = os.pipe()
    try:
        command = subprocess.Popen(argv, stdin=theirs)
    except OSError as error:
        sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else CANNOT_RUN
    os.close(theirs)
    if follow(command, Input(ours)):
        end(mark)
    status = command.wait()
    return status if status >= 0 else BY_SIGNAL - status


def follow(command: "subprocess.Popen[bytes]", inlet: Input) -> bool:
    """Do what the frames say until the command has ended; whether they have ended first."""
    ended = os.pidfd_open(command.pid)
    frames = bytearray()
    while True:
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        # Also unasked, the kernel tells that nobody holds the other end any more (POLLHUP).
        waiting.register(FRAMES, 0 if inlet.is_full else select.POLLIN)
        if inlet.waits:
            waiting.register(inlet, select.POLLOUT)
        ready = dict(waiting.poll())
        if ended in ready:
            return False
        if inlet.waits and inlet.fileno() in ready:
            inlet.write()
        if FRAMES in ready:
            data = os.read(FRAMES, MUCH) if ready[FRAMES] & select.POLLIN else b""
            if not data:
                return True
            frames += data
            heed(frames, command, inlet)


def heed(frames: bytearray, command: "subprocess.Popen[bytes]", inlet: Input) -> None:
    """Do what the whole frames say, and leave the rest."""
    while len(frames) >= HEAD:
        size = HEAD + int.from_bytes(frames[1:HEAD])
        if len(frames) < size:
            return
        kind, data = frames[:1], bytes(frames[HEAD:size])
        del frames[:size]
        if kind == b"d":
            inlet.take(data)
        elif kind == b"e":
            inlet.end()
        elif kind == b"s":
            command.send_signal(int(data))


def living(mark: str, root: int) -> set[int]:
    """What bears the mark, and what descends from that or from the process `root`; without that one.

    Of a pod's command the mark is in the environment: it is no child of the `docker exec` that asks for it.
    """
    parents: dict[int, int] = {}
    found: set[int] = set()
    wanted = mark.encode()
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):  # noqa: PTH208 - see `content`
        with suppress(OSError):  # it has ended
            state, parent = content(f"/proc/{pid}/stat").rpartition(b")")[2].split()[:2]
            if state in (b"Z", b"X"):
                continue
            parents[pid] = int(parent)
            if wanted in content(f"/proc/{pid}/environ").split(b"\0"):
                found.add(pid)
    while more := {pid for pid, parent in parents.items() if parent in found | {root}} - found:
        found |= more
    return found - {root}


def content(path: str) -> bytes:
    """A file's. Each command on a machine begins with this program, and pathlib takes long to import."""
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def end(mark: str) -> None:
    """End all of it: by SIGTERM, and what has not ended then by SIGKILL."""
    began, told = time.monotonic(), set[int]()
    while found := living(mark, os.getpid()):
        passed = time.monotonic() - began
        if passed >= HOPELESS:
            return
        for pid in found if passed >= GRACE else found - told:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if passed >= GRACE else signal.SIGTERM)
        told |= found
        one_has_ended(found, GRACE / 10 if passed >= GRACE else GRACE - passed)


def one_has_ended(processes: set[int], seconds: float) -> None:
    """Wait until one of them has ended, and no longer than so many seconds."""
    waiting, held = select.poll(), []
    for pid in processes:
        with suppress(ProcessLookupError):
            held.append(os.pidfd_open(pid))
            waiting.register(held[-1], select.POLLIN)
    waiting.poll(max(1, int(seconds * 1000)))
    for descriptor in held:
        os.close(descriptor)


def main(arguments: list[str]) -> int:
    """The program; its exit status."""
    mark, *argv = arguments
    if argv:
        return supervise(mark, argv)
    end(mark)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
