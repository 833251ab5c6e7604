"""A TLS connection that behaves like a plain one: a stream socket whose two directions can end separately.

`ssl.SSLSocket` cannot end its sending direction and continue to read: its shutdown() drops the encryption,
its unwrap() waits for the other side. Nor may one thread write to it while another reads. So one thread
encrypts and decrypts here, between two sockets.
"""

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

from lab.engine.endpoint import Tls
from lab.threads import Task, start

__all__ = ["client_context", "connect"]

CHUNK = 65536
PENDING = 4 * CHUNK
"""Maximum number of bytes to buffer for one side before reading pauses on the other."""


def client_context(tls: Tls) -> ssl.SSLContext:
    """Create the TLS context for an engine. Raises `OSError` for an invalid certificate or key file."""
    context = ssl.create_default_context(cafile=str(tls.authorities) if tls.authorities else None)
    # Like Docker's own client: older certificates lack what RFC 5280 requires and Python 3.13 insists on.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.certificate and tls.key:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def connect(
    address: tuple[str, int],
    context: ssl.SSLContext,
    timeout: float | None,
    failed: Callable[[OSError], None],
) -> socket.socket:
    """Connect and complete the TLS handshake within `timeout` seconds. Raises `OSError`.

    `failed` is called with an error that breaks the connection later, for example because the engine requires
    a client certificate; the socket then just ends.
    """
    wire = socket.create_connection(address, timeout)
    try:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = _Session(context, address[0])
        session.shake_hands(wire)
        wire.setblocking(False)
        ours, plain = socket.socketpair()
    except BaseException:
        wire.close()
        raise
    plain.setblocking(False)

    def carry() -> None:
        with wire, plain:
            try:
                _carry(plain, wire, session)
            except OSError as error:
                failed(error)
            _end(plain)

    # Nobody waits for this thread; any other exception is a bug, which the thread itself reports.
    start(carry, name=f"TLS with {address[0]}", tell=Task.result)
    ours.settimeout(timeout)
    return ours


class _Session:
    """The TLS protocol without I/O."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self, wire: socket.socket) -> None:
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                wire.sendall(self._outgoing.read())
                self._feed(wire.recv(CHUNK))
            else:
                wire.sendall(self._outgoing.read())
                return

    def encrypt(self, data: bytes) -> bytes:
        self._ssl.write(data)
        return self._outgoing.read()

    def end(self) -> bytes:
        """Return the close_notify message; received data can still be decrypted.

        All received data must have been decrypted: OpenSSL discards data that it finds while it looks for a
        reply.
        """
        with suppress(ssl.SSLWantReadError):  # the other side has more data to send
            self._ssl.unwrap()
        return self._outgoing.read()

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Decrypt data; return it and whether it was the last. Empty `data`: the connection has ended."""
        self._feed(data)
        parts: list[bytes] = []
        while True:
            try:
                part = self._ssl.read(CHUNK)
            except ssl.SSLWantReadError:
                return b"".join(parts), False
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b"".join(parts), True
            if not part:
                return b"".join(parts), True
            parts.append(part)

    def replies(self) -> bytes:
        """Return messages of the protocol itself, such as a key update."""
        return self._outgoing.read()

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


def _carry(plain: socket.socket, wire: socket.socket, session: _Session) -> None:
    """Relay bytes until the remote side has ended and all is delivered, or the local side is closed."""
    up, down = bytearray(), bytearray()
    sending = receiving = True
    poll = select.poll()
    while receiving or down:
        poll.register(plain, _events(sending and len(up) < PENDING, bool(down)))
        poll.register(wire, _events(receiving and len(down) < PENDING, bool(up)))
        happened = dict(poll.poll())
        at_plain, at_wire = happened.get(plain.fileno(), 0), happened.get(wire.fileno(), 0)
        if at_plain & (select.POLLHUP | select.POLLERR):
            return  # closed, not only half-closed: nobody reads
        if receiving and at_wire & (select.POLLIN | select.POLLHUP | select.POLLERR):
            data, is_last = session.decrypt(wire.recv(CHUNK))
            down += data
            up += session.replies()
            receiving = not is_last
        if sending and at_plain & select.POLLIN:
            data = plain.recv(CHUNK)
            sending = bool(data)
            up += session.encrypt(data) if data else session.end()
        if up and at_wire & select.POLLOUT:
            del up[: wire.send(up)]
        if down and at_plain & select.POLLOUT:
            del down[: plain.send(down)]


def _end(plain: socket.socket) -> None:
    """End the connection here: closed with something unread, it would be a reset (unix(7)) instead."""
    with suppress(OSError):
        plain.shutdown(socket.SHUT_RDWR)  # so that nothing more comes
        while plain.recv(CHUNK):
            pass


def _events(reads: bool, writes: bool) -> int:
    return (select.POLLIN if reads else 0) | (select.POLLOUT if writes else 0)
