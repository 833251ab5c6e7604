"""Reading requests of clients that may be slow, on purpose."""

import io
import math
import socket
import time
from typing import Any

__all__ = ["IDLE", "RequestStream"]

IDLE = 90.0
"""Seconds that a connection may be kept without a request."""

REQUEST_TIME = 10.0
"""Seconds from a request's first byte to its last."""


class RequestStream(io.RawIOBase):
    """A connection's bytes, until a deadline: then reading raises TimeoutError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = math.inf
        self._buffered: io.BufferedReader = io.BufferedReader(self, 1 << 13)

    def buffered(self) -> io.BufferedReader:
        """What to read from."""
        return self._buffered

    def begin(self) -> bool:
        """Wait for a request's first byte; false if the client has closed the connection."""
        self._until = time.monotonic() + IDLE
        if not self._buffered.peek(1):
            return False
        self._until = time.monotonic() + REQUEST_TIME
        return True

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """What has come; 0 at the end."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request took too long")
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)
