"""The process behind a tap: it writes back what it has read, when and as `Line` says."""

import errno
import gc
import os
import random
import select
import signal
import time
from collections.abc import Iterable

from lab.faults.impairment.line import PREFIX, Line
from lab.faults.impairment.model import Impairment

__all__ = ["fork_line"]

LARGEST = PREFIX + 14 + 65535
"""Bytes of a super-packet with its Ethernet header."""

AT_ONCE = 64
"""Frames read before it is looked which are due."""


def fork_line(tap: int, impairment: Impairment) -> None:
    """Start the process, which holds the tap from now on, and nothing else; our own descriptor is closed.

    It belongs to nobody: it ends on SIGTERM, and lets all arrive first that is under way.
    """
    first = os.fork()
    if first == 0:
        code = 1
        try:
            os.setsid()
            if os.fork() == 0:
                _become_line(tap, impairment)
            code = 0
        finally:
            os._exit(code)
    os.close(tap)
    os.waitpid(first, 0)


def _become_line(tap: int, impairment: Impairment) -> None:
    # Not the other taps, nor the lock, nor the pipes of whoever waits for the end of our output.
    os.closerange(3, tap)
    os.closerange(tap + 1, os.sysconf("SC_OPEN_MAX"))
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.close(nothing)
    os.chdir("/")
    ended, end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(end)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    gc.freeze()
    carry(tap, Line(impairment, random.random), ended)


def carry(tap: int, line: Line, ended: int) -> None:
    """Carry frames until `ended` can be read."""
    waiting = [tap, ended]
    while True:
        ready, _, _ = select.select(waiting, [], [], line.wait(time.monotonic()))
        if tap in ready:
            _read(tap, line)
        _write(tap, line.due(time.monotonic()))
        if ended in ready:
            while _read(tap, line):
                pass
            _write(tap, line.due(float("inf")))
            return


def _read(tap: int, line: Line) -> bool:
    """Take what has come; whether there may be more."""
    for _ in range(AT_ONCE):
        try:
            frame = os.read(tap, LARGEST)
        except BlockingIOError:
            return False
        # The time after it was read, of each: one that came while others were read would leave too early.
        line.take(frame, time.monotonic())
    return True


def _write(tap: int, frames: Iterable[bytes]) -> None:
    for frame in frames:
        try:
            os.write(tap, frame)
        except OSError as error:
            # A device that is down, and a frame that the kernel cannot take as one: lost, as on a wire.
            if error.errno not in (errno.EIO, errno.EINVAL):
                raise
