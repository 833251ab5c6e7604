"""A command that runs on a machine for as long as it is wanted here: its streams as they come, and its end.

Whatever ends it, an exception, Ctrl-C, the end of this process or of the connection, nothing of it goes on
running there (`lab.node.inside.supervise`). It is the way to everything that goes on for a while.
"""

import signal
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from types import TracebackType

from lab import wait
from lab.deadlines import END_TOLD
from lab.engine import STDERR, Exec, feed
from lab.errors import LabError, NoAnswer
from lab.threads import Task

__all__ = ["Running"]


class Running:
    """A command that runs on a machine; leaving the context ends it. Made by `Node.open`."""

    def __init__(self, where: str, argv: Sequence[str], session: Exec) -> None:
        self._where = where
        self._program = argv[0]
        self._session = session
        self._frames: Generator[tuple[int, bytes], None, None] | None = None
        self.complaints = b""
        """What `lines` has read of its standard error."""

    def __enter__(self) -> "Running":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.end()
        except LabError as failed:
            if error is None:
                raise
            error.add_note(failed.message)

    def frames(self, within: float | None = None) -> Iterator[tuple[int, bytes]]:
        """What it prints, as it comes: (STDOUT or STDERR, data). To be asked for once.

        Raises `TimeoutError` when it has not come to its end within so many seconds.
        """
        self._frames = self._session.frames(within)
        # Not `yield from`: who stops asking has not ended the command yet, and may still hear of its end.
        while (frame := next(self._frames, None)) is not None:
            yield frame

    def lines(self, within: float | None = None) -> Iterator[str]:
        """The lines that it prints, each as soon as it is whole, and what comes after the last one."""
        left = b""
        for stream, data in self.frames(within):
            if stream == STDERR:
                self.complaints += data
                continue
            *whole, left = (left + data).split(b"\n")
            yield from (line.decode(errors="replace") for line in whole)
        if left:
            yield left.decode(errors="replace")

    def send(self, data: bytes) -> None:
        """Give it this on its standard input. Raises `OSError` when it has ended."""
        self._control(b"d", data)

    def end_input(self) -> None:
        """End its standard input; it goes on. Raises `OSError` when it has ended."""
        self._control(b"e")

    def feed(self, chunks: Iterable[bytes]) -> Task[None]:
        """Give it all of this, then end its input, as `lab.engine.feed` does."""
        return feed(self, chunks)

    def signal(self, number: signal.Signals) -> None:
        """Send the command itself a signal. Raises `OSError` when it has ended."""
        self._control(b"s", str(int(number)).encode())

    def _control(self, kind: bytes, data: bytes = b"") -> None:
        self._session.send(kind + len(data).to_bytes(4) + data)

    def stop(self) -> None:
        """Have it end, with all that it has started, and do not wait for that. From any thread."""
        with suppress(OSError):  # it has ended
            self._session.end_input()

    def end(self) -> None:
        """Have it end if it still runs, and wait until it has. What it prints meanwhile is dropped.

        Raises `NoAnswer` when that takes too long.
        """
        self.stop()
        self._session.hurry(END_TOLD.seconds)
        try:
            for _ in self._frames or self._session.frames():
                pass
        except TimeoutError as error:
            raise NoAnswer(self._where, f"the end of {self._program}", END_TOLD.seconds) from error
        # Where reading was cut off in the middle, as by Ctrl-C, nothing more is to be read.
        wait.until(self._ended, what=f"{self._program} on {self._where} to end", timeout=END_TOLD.seconds)

    def _ended(self) -> bool | wait.NotYet:
        return self._session.ended() or wait.NotYet("it runs")

    def exit_code(self) -> int:
        """Its exit status, once its output has ended; 128 and a signal's number if that has ended it."""
        return self._session.exit_code()
