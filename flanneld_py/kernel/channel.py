"""A netlink socket to the kernel, by default for rtnetlink (netlink(7))."""

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from flanneld_py.kernel.netlink import (
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    Message,
    Request,
    messages,
    refusal,
)

__all__ = ["Channel"]

# linux/netlink.h
SOL_NETLINK: Final = 270
NETLINK_CAP_ACK: Final = 10
NETLINK_EXT_ACK: Final = 11
NETLINK_GET_STRICT_CHK: Final = 12

SO_SNDBUFFORCE: Final = 32  # asm-generic/socket.h

AT_ONCE: Final = 256
"""Maximum requests per datagram. If the kernel refuses all, its errors still fit in the default buffer."""

ANSWERS_AT_ONCE: Final = 64
"""Maximum requests per datagram if each is answered with a message.

The kernel accounts for 1 to 2 KiB per answer, so all of them fit in the default buffer.
"""

ANSWER: Final = 65536
"""Receive buffer in bytes; a dump datagram has at most 32 KiB (netlink_dump of af_netlink.c)."""

TIMEOUT: Final = 10.0
"""Seconds. Never reached: the kernel has answered when `send` returns, or reports ENOBUFS."""

DUMPS: Final = 5
"""Maximum attempts at a dump that concurrent changes interrupt."""


class Channel:
    """A netlink socket for a single thread. Methods raise `OSError` on unexpected answers."""

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        """Open the socket; `protocol` is a NETLINK_ number of linux/netlink.h."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        self._next = 1
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            with suppress(OSError):  # kernels before 4.12 and 4.20: shorter errors, longer dumps
                self._socket.setsockopt(SOL_NETLINK, option, 1)
        self._socket.settimeout(TIMEOUT)
        self._socket.bind((0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def request(self, requests: Sequence[Request]) -> dict[int, OSError]:
        """Execute the requests in order; return the failures by their index in `requests`."""
        failures: dict[int, OSError] = {}
        for first in range(0, len(requests), AT_ONCE):
            batch = requests[first : first + AT_ONCE]
            try:
                failed = self._batch(batch)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                # Some answers were lost, unknown which. Repeating the requests is harmless.
                self._drain()
                failed = {place: one[0] for place, each in enumerate(batch) if (one := self._batch([each]))}
            failures.update({first + place: error for place, error in failed.items()})
        return failures

    def _batch(self, requests: Sequence[Request]) -> dict[int, OSError]:
        """Send one datagram. Failures are always reported, so only the last request needs an answer."""
        first = self._next
        end = first + len(requests) - 1
        self._next = end + 1
        frames = [request.frame(number, number == end) for number, request in enumerate(requests, first)]
        self._socket.send(b"".join(frames))
        failures = {}
        while True:
            data = self._socket.recv(ANSWER)
            for message in messages(data):
                # Anything else answers an abandoned request.
                if message.kind == NLMSG_ERROR and first <= message.sequence <= end:
                    if error := _error(data, message):
                        failures[message.sequence - first] = error
                    if message.sequence == end:
                        return failures

    def _drain(self) -> None:
        """Discard what was received: after an overflow the kernel adds nothing until the buffer is empty."""
        self._socket.setblocking(False)
        while True:
            try:
                self._socket.recv(ANSWER)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
        self._socket.settimeout(TIMEOUT)

    def transact(self, begin: Request, requests: Sequence[Request], end: Request) -> None:
        """Execute all requests or none (an nfnetlink batch). Raises the first `OSError` that is reported."""
        first, self._next = self._next, self._next + len(requests) + 2
        all_of_it = [begin, *requests, end]
        last = first + len(requests)  # `end` is never acknowledged
        frames = [request.frame(number, number == last) for number, request in enumerate(all_of_it, first)]
        datagram = b"".join(frames)
        with suppress(OSError):  # exceeds net.core.wmem_max, with CAP_NET_ADMIN
            self._socket.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 2 * len(datagram) + ANSWER)
        self._socket.send(datagram)
        failure: OSError | None = None
        while True:
            data = self._socket.recv(ANSWER)
            for message in messages(data):
                if message.kind != NLMSG_ERROR or not first <= message.sequence <= last:
                    continue
                failure = failure or _error(data, message)
                # If the batch cannot begin, or fails as a whole, there is only one answer.
                if message.sequence == last or (message.sequence == first and failure is not None):
                    if failure is not None:
                        raise failure
                    return

    def execute(self, request: Request) -> None:
        """Execute a request. Raises the `OSError` that the kernel reports."""
        for error in self.request([request]).values():
            raise error

    def dump(self, request: Request, kind: int) -> list[tuple[bytes, Message]]:
        """Return all messages of this type that answer a dump request.

        If something changes meanwhile, the kernel flags the dump as inconsistent and it is repeated. If
        changes never stop, the last dump is used without duplicates, though something may be missing.
        """
        for _ in range(DUMPS):
            found, whole = self._dump(request, kind)
            if whole:
                return found
        return list({data[message.start : message.end]: (data, message) for data, message in found}.values())

    def _dump(self, request: Request, kind: int) -> tuple[list[tuple[bytes, Message]], bool]:
        """Return the messages, and whether the dump is consistent."""
        sequence, self._next = self._next, self._next + 1
        self._socket.send(request.frame(sequence))
        found: list[tuple[bytes, Message]] = []
        flags = 0
        while True:
            data = self._socket.recv(ANSWER)
            for message in messages(data):
                if message.sequence != sequence:
                    continue
                flags |= message.flags
                if message.kind == kind:
                    found.append((data, message))
                elif message.kind in (NLMSG_DONE, NLMSG_ERROR):
                    if error := _error(data, message):
                        raise error
                    return found, not flags & NLM_F_DUMP_INTR

    def ask_all(self, requests: Sequence[Request]) -> list[tuple[bytes, Message] | OSError]:
        """Return the answer or the error for each request; none may be a dump."""
        found: list[tuple[bytes, Message] | OSError] = []
        for first in range(0, len(requests), ANSWERS_AT_ONCE):
            batch = requests[first : first + ANSWERS_AT_ONCE]
            try:
                found += self._answers(batch)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._drain()
                for request in batch:
                    found += self._answers([request])
        return found

    def _answers(self, requests: Sequence[Request]) -> list[tuple[bytes, Message] | OSError]:
        first = self._next
        self._next += len(requests)
        self._socket.send(b"".join(request.frame(number) for number, request in enumerate(requests, first)))
        found: dict[int, tuple[bytes, Message] | OSError] = {}
        while len(found) < len(requests):
            data = self._socket.recv(ANSWER)
            for message in messages(data):
                if first <= message.sequence < self._next:
                    error = _error(data, message) if message.kind == NLMSG_ERROR else None
                    found[message.sequence] = error or (data, message)
        return [found[first + place] for place in range(len(requests))]

    def ask(self, request: Request) -> tuple[bytes, Message]:
        """Return the answer to a request other than a dump. Raises the `OSError` that the kernel reports."""
        sequence, self._next = self._next, self._next + 1
        self._socket.send(request.frame(sequence))
        while True:
            data = self._socket.recv(ANSWER)
            for message in messages(data):
                if message.sequence != sequence:
                    continue
                if message.kind == NLMSG_ERROR and (error := _error(data, message)):
                    raise error
                return data, message


def _error(data: bytes, message: Message) -> OSError | None:
    refused = refusal(data, message)
    if refused is None:
        return None
    reason = os.strerror(refused.code)
    return OSError(refused.code, f"{reason} ({refused.words})" if refused.words else reason)
