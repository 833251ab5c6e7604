"""A command that runs inside a container."""

import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from typing import Any

import docker

from lab.engine.failures import attempt
from lab.errors import LabError

__all__ = ["STDERR", "STDOUT", "Exec"]

STDOUT, STDERR = 1, 2
HEAD = struct.Struct(">BxxxL")
CHUNK = 65536


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
        self._response = stream._response
        self._reader = self._response.raw._fp.fp

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What the command prints, as it comes: (STDOUT or STDERR, data). A terminal has STDOUT only."""
        # Closed by its owner, never below it: an answer flushes its file when it is collected, and where
        # somebody else has closed that file, Python prints a traceback from 3.13 on.
        with attempt("reading a command's output"), closing(self._response):
            if self._tty:
                while data := self._reader.read1(CHUNK):
                    yield STDOUT, data
            else:
                # ContainerAttach's "stream format" in the engine's API: stream, three zeros, length, data.
                while len(head := self._reader.read(HEAD.size)) == HEAD.size:
                    stream, length = HEAD.unpack(head)
                    yield stream, self._reader.read(length)

    def send(self, data: bytes) -> None:
        """Give the command this on its standard input. Raises `BrokenPipeError` when it has ended."""
        self._socket.sendall(data)

    def end_input(self) -> None:
        """Close the command's standard input."""
        shutdown = getattr(self._socket, "shutdown_write", None)  # an SSH channel's name for it
        shutdown() if shutdown else self._socket.shutdown(socket.SHUT_WR)

    def feed(self, chunks: Iterable[bytes]) -> None:
        """Send all of it from a thread of its own, then end the input; a command that ends early is fine."""

        def pump() -> None:
            with suppress(OSError):  # the command has ended: its exit status says the rest
                for chunk in chunks:
                    self.send(chunk)
                self.end_input()

        threading.Thread(target=pump, daemon=True).start()

    def resize(self, rows: int, columns: int) -> None:
        """Tell the command's terminal its size, in characters."""
        with suppress(LabError), attempt("resizing"):  # a command that has just ended has no terminal
            self._api.exec_resize(self._id, height=rows, width=columns)

    def exit_code(self) -> int:
        """The exit status, once `frames` has ended."""
        with attempt("asking for an exit status"):
            return int(self._api.exec_inspect(self._id)["ExitCode"])
