"""The monitoring HTTP server: four read-only pages."""

import errno
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer

from flanneld_py import __version__
from flanneld_py.errors import Exit, Fatal
from flanneld_py.monitor.state import health, readiness, state
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.runtime import clock
from flanneld_py.runtime.http_limits import REQUEST_TIME, RequestStream, Slots

__all__ = ["Monitor"]

logger = logging.getLogger(__name__)

PLAIN = "text/plain; charset=utf-8"
CLIENTS = 32
"""Maximum concurrent connections, so that they cannot exhaust the daemon's file descriptors."""

_Request = socket.socket | tuple[bytes, socket.socket]


class Monitor:
    """Serves HTTP on a port, in separate threads, until it is closed. Port 0 means any free port (tests)."""

    def __init__(
        self, host: str, port: int, statuses: Sequence[NetworkStatus], now: Callable[[], float] = clock.now
    ) -> None:
        """Start to listen. Raises `Fatal` if that fails."""

        class Handler(_Handler):
            pages = _Pages(statuses, now)

        class Server(_Server):
            address_family = _family(host)

        try:
            self._server = Server((host, port), Handler)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            hint = "another process has it; is a second flanneld running here?" if in_use else error.strerror
            raise Fatal(
                f"Listening on {host} port {port} (-healthz-ip, -healthz-port): {hint}",
                code=Exit.TAKEN if in_use else Exit.INTERFACE,
            ) from error
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, name="monitor", daemon=True).start()

    def close(self) -> None:
        """Stop the server, at once: the loop that serves would look for that twice a second only."""
        self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()


class _Pages:
    """The pages, by path."""

    def __init__(self, statuses: Sequence[NetworkStatus], now: Callable[[], float]) -> None:
        self._statuses = statuses
        self._now = now

    def get(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Return status, content type and body."""
        match path.partition("?")[0]:
            case "/healthz":
                status, words = health()
            case "/readyz":
                status, words = readiness(self._statuses, self._now())
            case "/state":
                data = state(self._statuses, self._now(), __version__)
                return HTTPStatus.OK, "application/json", f"{json.dumps(data, indent=2)}\n".encode()
            case "/metrics":
                from flanneld_py.monitor import metrics

                text = metrics.text(self._statuses, self._now(), __version__)
                return HTTPStatus.OK, metrics.CONTENT_TYPE, text
            case _:
                status = HTTPStatus.NOT_FOUND
                words = "not found: try /healthz, /readyz, /metrics or /state\n"
        return status, PLAIN, words.encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = socket.SOMAXCONN  # the library's five: who comes sixth is heard a second later

    def __init__(self, address: tuple[str, int], handler: type["_Handler"]) -> None:
        self.slots = Slots(CLIENTS)
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind like `HTTPServer`, but without its DNS lookup, which takes seconds if DNS is not up yet."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: _Request, client_address: object) -> None:
        """Handle the request in a thread, unless the maximum is reached."""
        if not self.slots.take(_connection(request)):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self.slots.free(_connection(request))
            raise

    def process_request_thread(self, request: _Request, client_address: object) -> None:
        """Handle one connection from beginning to end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.free(_connection(request))

    def handle_error(self, request: _Request, client_address: object) -> None:  # noqa: ARG002
        """Log an error; a client that disconnects, such as a probe that timed out, is normal."""
        error = sys.exception()
        level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
        logger.log(level, "Answering %s: %s: %s", client_address, type(error).__name__, error)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    pages: _Pages
    timeout = REQUEST_TIME
    wbufsize = 1 << 13  # headers and body in one segment: the second would wait for the first's ACK
    server_version = f"flanneld/{__version__}"
    sys_version = ""

    def setup(self) -> None:
        """Set a deadline for the whole request rather than for each read."""
        super().setup()
        self._stream = RequestStream(self.connection, idle=REQUEST_TIME)
        self.rfile = self._stream.buffered()

    def handle_one_request(self) -> None:
        """Handle a request, or the end of the connection."""
        try:
            if not self._stream.begin():
                self.close_connection = True
                return
        except TimeoutError:
            self.close_connection = True
            return
        super().handle_one_request()

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer a HEAD: the headers of a GET."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        self.server.slots.answering(self.connection)
        self.connection.settimeout(self.timeout)
        status, kind, content = self.pages.get(self.path)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log requests with -v only: a probe comes every few seconds."""
        logger.debug("%s %s", self.address_string(), format % args)


def _connection(request: _Request) -> socket.socket:
    """Return the socket of what `socketserver` calls a request."""
    return request if isinstance(request, socket.socket) else request[1]


def _family(host: str) -> int:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
