"""This process's standard streams, by our own word.

They are UTF-8 whatever the locale says, they are there even where they were closed, and what cannot be
written is told in one line. That somebody stops reading, as head(1) does, is no error: the rest is dropped,
and a verb's exit status says what it has found.
"""

import io
import os
import select
import sys
from typing import TYPE_CHECKING

from lab.errors import LabError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["STDERR", "STDIN", "STDOUT", "OutputLost", "adopt", "lost", "width", "write_all"]

STDIN, STDOUT, STDERR = 0, 1, 2
"""Their descriptors: unistd.h."""

NAMES = {STDOUT: "standard output", STDERR: "standard error"}


class OutputLost(LabError):
    """What was to be printed cannot be written."""


def lost(descriptor: int, error: OSError) -> OutputLost:
    """The error to raise where writing to a standard stream failed with this one."""
    return OutputLost(f"cannot write to {NAMES[descriptor]}: {error.strerror}")


def write_all(descriptor: int, data: "ReadableBuffer") -> None:
    """Write all of it, also to a pipe that somebody made non-blocking. Raises `OSError`."""
    left = memoryview(data).cast("B")
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


class Outlet(io.RawIOBase):
    """Standard output or standard error.

    Once it cannot be written, all that comes is dropped: the interpreter tries again at its end, and would
    complain then. The first time raises `OutputLost`, of standard output only: where errors cannot be told,
    that cannot be either.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._gone = False

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Its descriptor, which stays open."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer") -> int:
        """Take all of it."""
        if not self._gone:
            try:
                write_all(self._descriptor, data)
            except OSError as error:
                self._gone = True
                if self._descriptor == STDOUT and not isinstance(error, BrokenPipeError):
                    raise lost(STDOUT, error) from error
        return memoryview(data).nbytes


def adopt() -> None:
    """Make this process's standard streams ours.

    A closed one would be given to the next file or connection that is opened, and get what is printed. So it
    is opened: standard input has nothing then, and writing to standard output fails as it did.
    """
    for descriptor in (STDIN, STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_WRONLY if descriptor == STDERR else os.O_RDONLY)  # takes the lowest
    sys.stdin = io.TextIOWrapper(open(STDIN, "rb", closefd=False), encoding="utf-8")  # noqa: SIM115
    sys.stdout = _text(STDOUT)
    sys.stderr = _text(STDERR)


def _text(descriptor: int) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(Outlet(descriptor))
    return io.TextIOWrapper(
        buffer, encoding="utf-8", errors="backslashreplace", line_buffering=descriptor == STDERR
    )


def width() -> int | None:
    """Columns of the terminal that standard output is; None if it is none."""
    try:
        return os.get_terminal_size(STDOUT).columns or None
    except OSError:
        return None
