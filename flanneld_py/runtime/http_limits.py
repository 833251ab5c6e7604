"""Limits on clients of our HTTP servers: the time of a whole request, and connections at a time.

Neither limit applies to a single read or client: somebody who sends a byte every few seconds, on as many
connections as possible, cannot keep others from being answered.
"""

import io
import math
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["IDLE", "RequestStream", "Slots"]

IDLE = 90.0
"""Seconds that a connection may be kept without a request."""

REQUEST_TIME = 10.0
"""Seconds from a request's first byte to its last."""


class RequestStream(io.RawIOBase):
    """A connection's bytes, until a deadline: then reading raises TimeoutError. `idle` is in seconds."""

    def __init__(self, connection: socket.socket, idle: float = IDLE) -> None:
        self._connection = connection
        self._idle = idle
        self._until = math.inf
        self._buffered: io.BufferedReader = io.BufferedReader(self, 1 << 13)

    def buffered(self) -> io.BufferedReader:
        """A buffered reader of this stream."""
        return self._buffered

    def begin(self) -> bool:
        """Wait for a request's first byte; false if the client has closed the connection."""
        self._until = time.monotonic() + self._idle
        if not self._buffered.peek(1):
            return False
        self._until = time.monotonic() + REQUEST_TIME
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what has arrived; 0 at the end."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


@dataclass(slots=True)
class _Slot:
    """A connection's socket, and since when its client owes us a request.

    `waiting_since` is infinite while a request is being answered.
    """

    connection: socket.socket
    waiting_since: float

    def cut(self) -> None:
        """End it; for a thread other than its own."""
        with suppress(OSError):  # it ended by itself
            # Not an SSL socket's own, which is only for the thread that reads.
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)


class Slots:
    """A number of connections at a time, for any thread. Each is identified by its accepted socket."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken: dict[socket.socket, _Slot] = {}

    def take(self, accepted: socket.socket) -> bool:
        """Take a slot; if none is free, that of the client who has kept us waiting longest, which is cut off.

        False if all others are being answered.
        """
        with self._lock:
            if len(self._taken) >= self._most:
                known, slowest = min(self._taken.items(), key=lambda item: item[1].waiting_since)
                if slowest.waiting_since == math.inf:
                    return False
                slowest.cut()
                del self._taken[known]
            self._taken[accepted] = _Slot(accepted, time.monotonic())
            return True

    def wrapped(self, accepted: socket.socket, connection: socket.socket) -> None:
        """From now on it is used through this socket."""
        with self._lock:
            if accepted in self._taken:
                self._taken[accepted].connection = connection

    def waiting(self, accepted: socket.socket) -> None:
        """Its client owes us a request: from now on, or since it connected, however late that is said."""
        with self._lock:
            if accepted in self._taken:  # not if it was cut off
                slot = self._taken[accepted]
                slot.waiting_since = min(slot.waiting_since, time.monotonic())

    def answering(self, accepted: socket.socket) -> None:
        """Its request has arrived: nobody else gets its slot until it is answered."""
        with self._lock:
            if accepted in self._taken:
                self._taken[accepted].waiting_since = math.inf

    def free(self, accepted: socket.socket) -> None:
        """It has ended."""
        with self._lock:
            self._taken.pop(accepted, None)

    def cut(self) -> None:
        """End all of them."""
        with self._lock:
            for slot in self._taken.values():
                slot.cut()
