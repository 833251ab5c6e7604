"""A command running in a container."""

import socket
import struct
import time
from collections.abc import Generator, Iterable
from contextlib import closing, suppress
from typing import Protocol

from lab.engine.api import Api, Stream
from lab.engine.failures import attempt
from lab.engine.model import EngineUnavailable
from lab.errors import LabError
from lab.threads import Task, start

__all__ = ["STDERR", "STDOUT", "Exec", "feed"]

STDOUT, STDERR = 1, 2
HEAD = struct.Struct(">BxxxL")
CHUNK = 65536


class Sink(Protocol):
    """A receiver of a command's input."""

    def send(self, data: bytes) -> None:
        """Send data to the command. Raises `OSError` if it has exited."""

    def end_input(self) -> None:
        """Close the input. Raises `OSError` if the command has exited."""


def feed(sink: Sink, chunks: Iterable[bytes]) -> Task[None]:
    """Send all chunks from a separate thread, then close the input; a command that exits early is fine.

    The input is closed even if producing the chunks fails, so that the command ends; the result then raises
    that failure.
    """

    def pump() -> None:
        try:
            for chunk in chunks:
                try:
                    sink.send(chunk)
                except OSError:  # it has exited; its exit status tells the rest
                    return
        finally:
            with suppress(OSError):
                sink.end_input()

    return start(pump, name="feed")


class Exec:
    """A command running in a container, and the connection to its standard streams."""

    def __init__(self, api: Api, identifier: str, stream: Stream, tty: bool) -> None:
        self._api = api
        self._id = identifier
        self._tty = tty
        self._stream = stream
        self._socket = stream.socket
        self._socket.settimeout(None)
        self._deadline: float | None = None

    def frames(self, within: float | None = None) -> Generator[tuple[int, bytes], None, None]:
        """Yield the command's output as it arrives: (STDOUT or STDERR, data). A terminal has only STDOUT.

        If the generator is closed early, the connection is closed; the command continues. Raises
        `TimeoutError` if the output has not ended within `within` seconds, and `EngineUnavailable` if the
        connection breaks in the middle of it.
        """
        if within is not None:
            self.hurry(within)
        with closing(self._stream):
            try:
                while frame := self._next():
                    yield frame
            except ConnectionError as error:
                raise EngineUnavailable(
                    f"reading a command's output: the connection broke: {error}"
                ) from error
            finally:  # otherwise the engine would wait for us to read the rest
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def hurry(self, within: float) -> None:
        """Require that the current or next read completes within `within` seconds."""
        self._deadline = time.monotonic() + within

    def _next(self) -> tuple[int, bytes] | None:
        if self._deadline is not None:
            # Not 0, which would mean a non-blocking socket.
            self._socket.settimeout(max(self._deadline - time.monotonic(), 0.001))
        try:
            if self._tty:
                data = self._stream.output.read1(CHUNK)
                return (STDOUT, data) if data else None
            # ContainerAttach's "stream format" in the engine's API: stream, three zeros, length, data.
            head = self._stream.output.read(HEAD.size)
        except ConnectionResetError:
            # So does a connection end that is closed while something that we have sent waits to be read
            # (unix(7)), as when a command ends before its input. `exit_code` asks whether it has ended.
            return None
        if len(head) < HEAD.size:
            return None
        stream, length = HEAD.unpack(head)
        return stream, self._stream.output.read(length)

    def send(self, data: bytes) -> None:
        """Send data to the command's standard input. Raises `BrokenPipeError` if it has exited."""
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Close the command's standard input."""
        self._socket.shutdown(socket.SHUT_WR)

    def feed(self, chunks: Iterable[bytes]) -> Task[None]:
        """Send all chunks, then close the input, as the function `feed` does."""
        return feed(self, chunks)

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of the command's terminal, in characters."""
        with suppress(LabError), attempt("resizing"):  # a command that has just exited has no terminal
            self._api.post(f"/exec/{self._id}/resize?h={rows}&w={columns}")

    def ended(self) -> bool:
        """Whether the command has exited, whether or not its output has been read."""
        with attempt("asking for the end of a command"):
            return not self._api.get(f"/exec/{self._id}/json")["Running"]

    def exit_code(self) -> int:
        """Return the exit status, once `frames` has ended. Raises `EngineUnavailable` if it goes on."""
        with attempt("asking for an exit status"):
            code = self._api.get(f"/exec/{self._id}/json")["ExitCode"]
        if code is None:
            raise EngineUnavailable("reading a command's output: the connection ended before the command")
        return int(code)
