"""A command that runs inside a container."""

import socket
import struct
import time
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from typing import Any, Protocol

import docker

from lab.engine.failures import attempt
from lab.errors import LabError
from lab.threads import Task, start

__all__ = ["STDERR", "STDOUT", "Exec", "feed"]

STDOUT, STDERR = 1, 2
HEAD = struct.Struct(">BxxxL")
CHUNK = 65536


class Sink(Protocol):
    """What takes a command's input."""

    def send(self, data: bytes) -> None:
        """Give the command this. Raises `OSError` when it has ended."""

    def end_input(self) -> None:
        """No more comes. Raises `OSError` when it has ended."""


def feed(sink: Sink, chunks: Iterable[bytes]) -> Task[None]:
    """Send all of it from a thread of its own, then end the input; a command that ends early is fine.

    The input ends also where the chunks do not come to their end, so that the command does; the result
    raises why they did not.
    """

    def pump() -> None:
        try:
            for chunk in chunks:
                try:
                    sink.send(chunk)
                except OSError:  # it has ended: its exit status says the rest
                    return
        finally:
            with suppress(OSError):
                sink.end_input()

    return start(pump, name="feed")


class Exec:
    """A command that runs in a container, and the connection to its standard streams."""

    def __init__(self, api: docker.APIClient, identifier: str, stream: Any, tty: bool) -> None:
        self._api = api
        self._id = identifier
        self._tty = tty
        # Writing goes to the socket below the SDK's read-only stream. Reading must go through the file that
        # the HTTP client read the answer's head from: it may have read some of the output along, which the
        # SDK's own readers then miss.
        self._socket = getattr(stream, "_sock", stream)
        self._socket.settimeout(None)
        self._deadline: float | None = None
        self._response = stream._response
        self._reader = self._response.raw._fp.fp

    def frames(self, within: float | None = None) -> Generator[tuple[int, bytes], None, None]:
        """What the command prints, as it comes: (STDOUT or STDERR, data). A terminal has STDOUT only.

        Closed early, it closes the connection; the command goes on.
        Raises `TimeoutError` when it has not come to its end within so many seconds.
        """
        if within is not None:
            self.hurry(within)
        # Closed by its owner, never below it: an answer flushes its file when it is collected, and where
        # somebody else has closed that file, Python prints a traceback from 3.13 on.
        with attempt("reading a command's output"), closing(self._response):
            try:
                while frame := self._next():
                    yield frame
            finally:  # of a stream that nobody reads on, the engine would wait for us to
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def hurry(self, within: float) -> None:
        """Let what is read now, or next, come to its end within so many seconds."""
        self._deadline = time.monotonic() + within

    def _next(self) -> tuple[int, bytes] | None:
        if self._deadline is not None:
            # At least a moment: 0 would mean a socket that never waits.
            self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
        if self._tty:
            data = self._reader.read1(CHUNK)
            return (STDOUT, data) if data else None
        # ContainerAttach's "stream format" in the engine's API: stream, three zeros, length, data.
        head = self._reader.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        stream, length = HEAD.unpack(head)
        return stream, self._reader.read(length)

    def send(self, data: bytes) -> None:
        """Give the command this on its standard input. Raises `BrokenPipeError` when it has ended."""
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Close the command's standard input."""
        shutdown = getattr(self._socket, "shutdown_write", None)  # an SSH channel's name for it
        shutdown() if shutdown else self._socket.shutdown(socket.SHUT_WR)

    def feed(self, chunks: Iterable[bytes]) -> Task[None]:
        """Send all of it, then end the input, as `feed` does."""
        return feed(self, chunks)

    def resize(self, rows: int, columns: int) -> None:
        """Tell the command's terminal its size, in characters."""
        with suppress(LabError), attempt("resizing"):  # a command that has just ended has no terminal
            self._api.exec_resize(self._id, height=rows, width=columns)

    def ended(self) -> bool:
        """Whether the command has ended, whoever reads what it prints."""
        with attempt("asking for the end of a command"):
            return not self._api.exec_inspect(self._id)["Running"]

    def exit_code(self) -> int:
        """The exit status, once `frames` has ended."""
        with attempt("asking for an exit status"):
            return int(self._api.exec_inspect(self._id)["ExitCode"])
