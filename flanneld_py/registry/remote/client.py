"""A connection to `flanneld -listen`, of any version."""

import http.client
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus

from flanneld_py.registry import AccessRefused, RegistryUnavailable
from flanneld_py.registry.access import Endpoint
from flanneld_py.registry.deadline import Deadline
from flanneld_py.registry.tls import Tls
from flanneld_py.registry.tls_diagnosis import Hints, diagnose

__all__ = ["TIMEOUT", "NoAnswer", "NoGoodAnswer", "Poll", "RemoteClient", "ServerResponse"]

TIMEOUT = 5.0
"""Seconds that one request usually has; the server itself gives its etcd a few."""

LONGEST = 64 << 20
"""Bytes of an answer; 10,000 leases are 2 MiB."""

# For a server that vanished silently: seconds, and a number of tries (tcp(7)).
KEEPALIVE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)

HINTS = Hints(
    flag="-remote",
    plain="drop -remote-cafile and the like, if that server has no TLS",
    encrypted="give -remote-cafile",
)


class NoAnswer(RegistryUnavailable):
    """The server does not answer."""

    trouble = "the lease server does not answer"


class NoGoodAnswer(RegistryUnavailable):
    """It answers that it cannot do what it was asked for, or its answer makes no sense."""

    trouble = "the lease server reports an error"


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """A server's answer; `text` is that of an error, for a message."""

    status: int
    body: bytes

    @property
    def is_good(self) -> bool:
        """Whether the request succeeded."""
        return self.status == HTTPStatus.OK

    @property
    def text(self) -> str:
        """The body in one line, truncated."""
        words = " ".join(self.body[:500].decode(errors="replace").split())
        return words or f"HTTP status {self.status}"


class RemoteClient:
    """See `failover.Connection`. Used by one thread, but for `close`."""

    def __init__(self, endpoint: Endpoint, tls: Tls | None, deadline: Deadline) -> None:
        self.url = endpoint.url
        self._endpoint = endpoint
        self._tls = tls
        self._deadline = deadline
        try:
            self._context = None if tls is None else tls.context()
        except OSError as error:  # the files were fine at the start
            raise NoAnswer(
                f"the files of -remote-cafile and the like can no longer be used: {error}"
            ) from error
        self._kept: http.client.HTTPConnection | None = None
        self._closed = False
        self._in_use = threading.Lock()

    def ask(self, method: str, path: str, body: bytes | None = None) -> ServerResponse:
        """One request, and its answer. Raises `RegistryUnavailable` if there is none."""
        try:
            with self._in_use:
                return self._ask(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            self._kept = None
            raise self._failure(error) from error
        finally:
            self._end_if_closed()

    def _ask(self, method: str, path: str, body: bytes | None) -> ServerResponse:
        if self._kept is not None:
            try:
                return self._exchange(self._kept, method, path, body)
            except (ConnectionError, http.client.HTTPException):
                # The server may close a connection at any time, and every request is safe to repeat: a lease
                # that is ours already is given to us again.
                if self._closed:
                    raise
        connection = self._kept = self._connect()
        if self._closed:  # in the meantime, and `close` has not seen this one
            connection.close()
            raise ConnectionAbortedError("it was closed")
        return self._exchange(connection, method, path, body)

    def _exchange(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
    ) -> ServerResponse:
        if connection.sock is not None:  # it is, unless the connection has just been closed
            connection.sock.settimeout(self._deadline.seconds)
        return _exchange(connection, method, path, body)

    def poll(self) -> "Poll":
        """A connection for requests that may take long to be answered. Raises as `ask`."""
        try:
            return Poll(self._connect())
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """See `Connection`."""
        self._closed = True
        if self._kept is not None:
            _cut(self._kept)
        self._end_if_closed()

    def _end_if_closed(self) -> None:
        """Whoever is last, the thread that asks or the one that closes, frees the socket."""
        if self._closed and self._in_use.acquire(blocking=False):
            if self._kept is not None:
                self._kept.close()
            self._in_use.release()

    def _connect(self) -> http.client.HTTPConnection:
        host, port, usual = self._endpoint.host, self._endpoint.port, self._deadline.usual
        if self._context is None:
            connection = http.client.HTTPConnection(host, port, timeout=usual)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=usual, context=self._context)
        connection.connect()
        return connection

    def _failure(self, error: Exception) -> RegistryUnavailable:
        if self._closed:
            return NoAnswer("it was closed")
        if isinstance(error, TimeoutError):
            return NoAnswer(f"no answer within {self._deadline.seconds:g} s")
        if trouble := diagnose(self._endpoint, self._tls, self._deadline.usual, HINTS):
            return AccessRefused(trouble)
        if isinstance(error, http.client.RemoteDisconnected):
            return NoAnswer("the server closed the connection")
        return NoAnswer(str(error) or type(error).__name__)


class Poll:
    """A connection for answers that may take long; `cut` ends it, from another thread."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._ended = False

    def ask(self, path: str, timeout: float) -> ServerResponse | None:
        """The answer; None if none came within `timeout` seconds: the connection is useless then.

        Raises `RegistryUnavailable` if it breaks.
        """
        try:
            if self._connection.sock is None:  # the server closes the connection after each answer
                self._connection.connect()
            for option in KEEPALIVE:
                self._connection.sock.setsockopt(*option)
            self._connection.sock.settimeout(timeout)
            if self._ended:
                raise ConnectionAbortedError("it was cut")
            return _exchange(self._connection, "GET", path, None)
        except TimeoutError:
            return None
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(f"the connection broke: {error or type(error).__name__}") from error

    def cut(self) -> None:
        """End it: then `ask` has no answer."""
        self._ended = True
        _cut(self._connection)

    def close(self) -> None:
        """Free the socket, in the thread that asks."""
        self._connection.close()


def _exchange(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None
) -> ServerResponse:
    try:
        headers = {} if body is None else {"Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read(LONGEST)
        if not response.isclosed() and response.read(1):
            raise http.client.HTTPException(f"an answer of more than {LONGEST} bytes")
    except BaseException:
        connection.close()
        raise
    return ServerResponse(response.status, content)


def _cut(connection: http.client.HTTPConnection) -> None:
    """End it, even while another thread waits for it."""
    with suppress(OSError, TypeError):  # it has ended, or is just ending
        # Not the SSL socket's own, which is only for the thread that reads.
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
