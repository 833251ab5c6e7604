"""Where captured packets go: a pcapng file, or lines."""

import io
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from lab.capture import pcapng, summary
from lab.capture.model import Counts, Packet, Place
from lab.errors import LabError, Unfit
from lab.naming import our_version
from lab.streams import STDOUT, lost

__all__ = ["File", "Lines", "Sink"]

PIECE = 4096
"""Bytes that a pipe takes at once if it takes any (PIPE_BUF, limits.h)."""

HEED = 0.2
"""Seconds within which a wait for whoever reads is looked at again."""

STALLED = 2.0
"""Seconds for which nobody has read anything, after which Ctrl-C does not wait for it any more."""


class Sink:
    """A file, or standard output; nothing is kept back."""

    def __init__(self, path: Path | None, interrupted: Callable[[], bool]) -> None:
        """`None` is standard output. Raises `Unfit`."""
        self._interrupted = interrupted
        self._path = path
        try:
            self._file = io.FileIO(path, "w") if path is not None else None
        except OSError as error:
            raise Unfit(f"-w {path}: it cannot be written: {error.strerror}") from error
        self._descriptor = self._file.fileno() if self._file is not None else STDOUT

    def write(self, data: bytes) -> None:
        """Write all of it. Raises `BrokenPipeError` when nobody reads any more, and `LabError`."""
        left, stalled = memoryview(data), 0.0
        while left:
            if not select.select([], [self._descriptor], [], HEED)[1]:
                stalled += HEED
                if stalled >= STALLED and self._interrupted():
                    raise BrokenPipeError
                continue
            stalled = 0.0
            try:
                left = left[os.write(self._descriptor, left[:PIECE]) :]
            except BrokenPipeError:
                raise
            except BlockingIOError:  # somebody made the pipe non-blocking, and there is room for less
                continue
            except OSError as error:
                if self._path is None:
                    raise lost(STDOUT, error) from error
                raise LabError(f"-w {self._path}: it cannot be written: {error.strerror}") from error

    def require_reader(self) -> None:
        """Raise `BrokenPipeError` if nobody reads any more, also while there is nothing to be written."""
        waiting = select.poll()
        waiting.register(self._descriptor, 0)
        if any(event & select.POLLERR for _, event in waiting.poll(0)):
            raise BrokenPipeError

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()


class File:
    """pcapng."""

    def __init__(self, write: Callable[[bytes], None], snaplen: int, about: str) -> None:
        self._write = write
        self._snaplen = snaplen
        self._numbers: dict[Place, int] = {}
        self._began = time.time_ns()
        write(pcapng.section(f"lab capture ({our_version()})", [about]))

    def place(self, place: Place) -> None:
        """Write its block, once."""
        if place not in self._numbers:
            self._numbers[place] = len(self._numbers)
            self._write(pcapng.interface(place, self._snaplen))

    def packets(self, found: Sequence[tuple[Packet, tuple[str, ...]]]) -> None:
        """Write them."""
        numbers = self._numbers
        blocks = [pcapng.packet(numbers[item.place], item, comments) for item, comments in found]
        if blocks:
            self._write(b"".join(blocks))

    def happened(self, comments: Sequence[str]) -> bool:
        """The next packet has to bear it."""
        return not comments

    def end(self, counts: Mapping[Place, Counts], comments: Sequence[str]) -> None:
        """Write what each place came to; the first bears what no packet has followed."""
        now = time.time_ns()
        left = list(comments)
        for place, number in self._numbers.items():
            told = counts.get(place, Counts())
            self._write(pcapng.statistics(number, self._began, now, told, left))
            left = []


class Lines:
    """For a person."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._width = 0

    def place(self, place: Place) -> None:
        """It takes so much room."""
        self._width = max(self._width, len(place.name))

    def packets(self, found: Sequence[tuple[Packet, tuple[str, ...]]]) -> None:
        """One line each."""
        lines = []
        for packet, comments in found:
            lines += [f"--- {comment}" for comment in comments]
            lines.append(summary.line(packet, datetime.fromtimestamp(packet.at // 10**9), self._width))
        self._say(lines)

    def happened(self, comments: Sequence[str]) -> bool:
        """At once."""
        self._say([f"--- {comment}" for comment in comments])
        return True

    def end(self, counts: Mapping[Place, Counts], comments: Sequence[str]) -> None:  # noqa: ARG002
        """What happened last."""
        self.happened(comments)

    def _say(self, lines: Sequence[str]) -> None:
        if lines:
            self._write("".join(f"{line}\n" for line in lines).encode(errors="backslashreplace"))
