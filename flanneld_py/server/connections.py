"""HTTP connections: limits on time, size and number, and the log. The answers come from elsewhere."""

import logging
import resource
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from flanneld_py.errors import Stopped
from flanneld_py.runtime.http_limits import RequestStream, Slots
from flanneld_py.server.messages import LONGEST_BODY, RequestRefused, Response

__all__ = ["Connections"]

logger = logging.getLogger(__name__)

MOST = 4096
"""Connections at a time; fewer if this process may not open two descriptors for each."""

WRITE_TIME = 30.0
"""Seconds that a client may take to receive an answer, and for a TLS handshake."""

STOP_INTERVAL = 0.2
"""Seconds between looks whether to stop."""

Respond: TypeAlias = Callable[[str, str, bytes, socket.socket], Response]
"""Method, target and body of a request, and its connection. Raises `Stopped`, or ConnectionError."""


class Connections:
    """Accepts connections from a listening socket, and answers each request with what `respond` returns."""

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None, respond: Respond) -> None:
        self.port = 0 if listening.family == socket.AF_UNIX else int(listening.getsockname()[1])
        self._server = _Server(listening, tls, respond)

    def serve(self) -> None:
        """Accept connections until `stop`."""
        self._server.serve_forever(STOP_INTERVAL)

    def stop(self) -> None:
        """Accept no more, and have `serve` end soon. May be called before it, and repeatedly."""
        self._server.stop()

    def close(self) -> None:
        """End all connections."""
        self._server.server_close()
        self._server.slots.cut()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, listening: socket.socket, tls: ssl.SSLContext | None, respond: Respond) -> None:
        super().__init__(("", 0), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.tls = tls
        self.respond = respond
        self.slots = Slots(_most())
        self._stopping = threading.Event()

    def service_actions(self) -> None:
        """Called by `serve_forever` between connections."""
        if self._stopping.is_set():
            # `shutdown` waits for the loop to end, so it cannot be called in the loop's own thread.
            threading.Thread(target=self.shutdown, daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for it, unless there are too many."""
        if not self.slots.take(request):
            logger.warning("Too many connections: closing one from %s", client_address)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads
            self.slots.free(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve the connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.free(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Called in an exception handler."""
        logger.debug("Connection of %s", client_address, exc_info=True)


def _most() -> int:
    """The limit; that of descriptors is raised to the maximum allowed first, as Go does."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft // 2 - 64))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "flanneld"
    sys_version = ""
    wbufsize = 1 << 13
    disable_nagle_algorithm = True
    default_request_version = "HTTP/1.0"  # so that even what is not a request gets a status
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(message)s\n"
    _said: tuple[str, str, int] | None = None

    def setup(self) -> None:
        self.request.settimeout(WRITE_TIME)
        self._accepted = self.request
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
            self.server.slots.wrapped(self._accepted, self.request)
            try:
                self.request.do_handshake()
            except OSError:  # the library does not close it after a failed handshake
                self.request.close()
                raise
        super().setup()
        self._stream = RequestStream(self.connection)
        self.rfile = self._stream.buffered()

    def finish(self) -> None:
        try:
            super().finish()
        finally:
            if self.server.tls is not None:
                self.request.close()

    def handle_one_request(self) -> None:
        """One request, or the end of the connection."""
        self.server.slots.waiting(self._accepted)
        try:
            if not self._stream.begin():
                self.close_connection = True
                return
        except TimeoutError:
            self.close_connection = True
            return
        super().handle_one_request()

    def _handle(self) -> None:
        try:
            answer = self._respond()
        except Stopped:
            self.close_connection = True
            return
        except ConnectionError:
            self.close_connection = True
            return
        self._log(answer.status)
        self.connection.settimeout(WRITE_TIME)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _handle  # noqa: N815

    def _log(self, status: int) -> None:
        """As flannel does; but repeated requests of one client with -v only."""
        said = (self.command, self.path, status)
        level = logging.DEBUG if said == self._said and self.command == "GET" else logging.INFO
        self._said = said
        logger.log(level, "%s %s - %d", self.command, _printable(self.path), status)

    def _respond(self) -> Response:
        try:
            body = self._body()
            self.server.slots.answering(self._accepted)
            return self.server.respond(self.command, self.path, body, self.connection)
        except RequestRefused as refusal:  # the body is still on its way
            self.close_connection = True
            return refusal.answer
        except (Stopped, OSError):
            raise
        except Exception:
            logger.exception("%s %s", self.command, _printable(self.path))
            return RequestRefused(500, "internal error: the server's log tells more").answer

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding"):
            raise RequestRefused(411, "Length Required\n")
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise RequestRefused(400, "Content-Length is not a number\n")
        if len(length) > 9 or int(length) > LONGEST_BODY:
            raise RequestRefused(413, f"a request may have {LONGEST_BODY} bytes\n")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionAbortedError("the client has gone")
        return body

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Called by http.server for malformed requests."""
        logger.debug("%s: %s", self.client_address, _printable(format % args))

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Nothing: `_log` does it in flannel's own words."""


def _printable(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
