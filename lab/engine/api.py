"""Requests to an engine by its HTTP API: what most verbs ask, which is what there is, and what they run.

What makes and removes things is left to Docker's SDK (`lab.engine.sdk`), which takes as long to import as all
else that such a verb does.
"""

import io
import json
import select
import socket
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlencode

from lab.engine.transport import CONNECTIONS, Transport

__all__ = ["Api", "Refused", "Stream", "Unanswered"]

SWITCHING_PROTOCOLS, BAD_REQUEST = 101, 400


class Refused(Exception):
    """The engine has answered with an error, in these words."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


class Unanswered(Exception):
    """There was no answer, or none of a Docker engine; the text says why."""


class Stream:
    """A connection that an answer has left to a command's standard streams."""

    def __init__(self, connection: socket.socket, response: HTTPResponse) -> None:
        self.socket = connection
        """To write to. It must be read by `output`: some of that may have come with the answer's headers."""
        self.output: io.BufferedIOBase = response.fp
        self._response = response

    def close(self) -> None:
        """Close both."""
        # Never the file alone: a response flushes it when it is garbage-collected, and if it is closed by
        # then, Python prints a traceback since 3.13.
        self._response.close()
        self.socket.close()


class _Connection(HTTPConnection):
    def __init__(self, transport: Transport, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._transport = transport

    def connect(self) -> None:
        self.sock = self._transport.dial(self.timeout)

    def is_quiet(self) -> bool:
        """Whether the engine has not ended it, nor sent what nobody has asked for."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return not poll.poll(0)


class Api:
    """One engine's API. Safe to use from several threads: a request has a connection to itself."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        """`timeout` is the limit in seconds for each answer."""
        self._transport, self._timeout = transport, timeout
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._idle)  # who asks for a moment does not close
        self.version = ""
        """That of the API, once `greet` has asked for it; until then the engine chooses."""

    def greet(self) -> None:
        """Ask for the API's version, and use it from now on. Raises as `get` does."""
        version = self._ask("GET", "/_ping")[1].getheader("Api-Version")
        if version is None:
            raise Unanswered("what answers is not a Docker engine: it reports no API version")
        self.version = version

    def get(self, path: str, **query: str) -> Any:
        """Return what a path has. Raises `Refused`, `Unanswered`, and what the transport raises."""
        data, _ = self._ask("GET", f"{path}?{urlencode(query)}" if query else path)
        return _document(data)

    def post(self, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """Post a document, if there is one; return the answer's, if it has one. Raises as `get` does."""
        data, _ = self._ask("POST", path, document)
        return _document(data) if data else None

    def stream(self, path: str, document: Mapping[str, Any]) -> Stream:
        """Post a document, and take the connection over. Raises as `get` does."""
        connection, response = self._send("POST", path, document, {"Connection": "Upgrade", "Upgrade": "tcp"})
        if response.status == SWITCHING_PROTOCOLS:
            return Stream(connection.sock, response)
        data = self._rest(connection, response)
        raise Refused(response.status, _words(data) or f"a stream was expected, not {response.reason}")

    def close(self) -> None:
        """Close the connections that nobody uses."""
        with self._lock:
            _close(self._idle)

    def _ask(
        self, method: str, path: str, document: Mapping[str, Any] | None = None
    ) -> tuple[bytes, HTTPResponse]:
        connection, response = self._send(method, path, document, {})
        data = self._rest(connection, response)
        if response.status >= BAD_REQUEST:
            raise Refused(response.status, _words(data) or response.reason)
        return data, response

    def _send(
        self, method: str, path: str, document: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[_Connection, HTTPResponse]:
        """Send a request; return its connection, and the answer as far as its headers."""
        body = None if document is None else json.dumps(document).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        connection = self._connection()
        with _told(connection):
            prefix = f"/v{self.version}" if self.version else ""
            connection.request(method, f"{prefix}{path}", body, {**kind, **headers})
            return connection, connection.getresponse()

    def _connection(self) -> _Connection:
        """One that nobody uses."""
        while True:
            with self._lock:
                if not self._idle:
                    return _Connection(self._transport, self._timeout)
                connection = self._idle.pop()
            if connection.is_quiet():
                return connection
            connection.close()

    def _rest(self, connection: _Connection, response: HTTPResponse) -> bytes:
        """The answer itself. Its connection is for the next request, unless the engine ends it."""
        with _told(connection), response:
            data = response.read()
        with self._lock:
            if not response.will_close and len(self._idle) < CONNECTIONS:
                self._idle.append(connection)
                return data
        connection.close()
        return data


def _close(connections: list[_Connection]) -> None:
    while connections:
        connections.pop().close()


@contextmanager
def _told(connection: _Connection) -> Iterator[None]:
    """Close a connection that fails, or is given up, and say why there is no answer."""
    try:
        yield
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError | HTTPException):
            raise Unanswered(str(error)) from error
        raise


def _document(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise Unanswered(f"what answers is not a Docker engine: expected JSON, got {data[:60]!r}") from error


def _words(data: bytes) -> str:
    """The words of an error, which are in a document of the engine's, or are all there is."""
    text = data.decode(errors="replace")
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.strip()
