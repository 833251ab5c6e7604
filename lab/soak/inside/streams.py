"""TCP between this machine and each of the others over the overlay, with content that the receiver checks.

To each peer there is a connection that stays open, with a message ten times a second, and twice a second a
new one, with a single message that is longer. The receiver knows what a message has to contain, and
acknowledges it with one byte, or tells that it is another one.

Argument: {"own": ADDRESS, "name": NAME, "peers": {NAME: ADDRESS}, "port": N, "shift": SECONDS}; addresses are
docker0's. It prints {"ready": true} once it accepts connections. Given a line, it begins and prints
{"now": MONOTONIC}. Given an empty one, it sends no more, and prints
    {"troubles": [[PEER, KIND, FROM, TO, WORDS], ...], "messages": N}
Others may still send, so it ends only when it is given one more, or there is no more.
KIND is `broken` for a connection that ended, `stalled` for a message that was acknowledged late, `refused`
for a connection that did not come about, `content` for a message that was another one. Times are of
CLOCK_MONOTONIC with the shift added, which makes it everybody's.
"""

import hashlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

IP_FREEBIND = 15
"""linux/in.h: from an address that is not there just now."""

STAYING, BRIEF = 0.1, 0.5
"""Seconds between two messages of the connection that stays, and between two that are new."""

SHORT, LONG = 1 << 10, 1 << 16
"""Bytes of their messages."""

LATE = 3.0
"""Seconds without an acknowledgement after which a message is late, and a new connection given up."""

SILENT = 60.0
"""Seconds without an acknowledgement after which a connection is given up that stays."""

HEADER = struct.Struct("!64sII")
"""The sender's name, the message's number, and its length in bytes."""

RIGHT, WRONG = b"+", b"-"


def message(name: str, number: int, length: int) -> bytes:
    """What a message contains."""
    seed = hashlib.sha256(f"{name} {number}".encode()).digest()
    return (seed * (length // len(seed) + 1))[:length]


class Troubles:
    """What went wrong."""

    def __init__(self, shift: float) -> None:
        self._lock = threading.Lock()
        self._shift = shift
        self.found: list[list[Any]] = []
        self.messages = 0

    def add(self, peer: str, kind: str, since: float, words: str) -> None:
        """Something that began at that time, and is over."""
        with self._lock:
            self.found.append([peer, kind, since + self._shift, time.monotonic() + self._shift, words])

    def count(self) -> None:
        """A message was acknowledged."""
        with self._lock:
            self.messages += 1


def exactly(connection: socket.socket, length: int) -> bytes:
    """So many bytes; fewer where the other side has ended."""
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 16))
        if not part:
            break
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def serve(connection: socket.socket) -> None:
    """Check messages until the other side ends."""
    with connection:
        try:
            while len(header := exactly(connection, HEADER.size)) == HEADER.size:
                coded, number, length = HEADER.unpack(header)
                wanted = message(coded.rstrip(b"\0").decode(errors="replace"), number, length)
                connection.sendall(RIGHT if exactly(connection, length) == wanted else WRONG)
        except OSError:  # which the sender tells, who knows whether it was to be
            return


def accept(server: socket.socket) -> None:
    """Serve every connection in a thread of its own."""
    while True:
        connection, _ = server.accept()
        threading.Thread(target=serve, args=[connection], daemon=True).start()


class Client:
    """This machine's messages to one peer."""

    def __init__(
        self, asked: Mapping[str, Any], peer: str, troubles: Troubles, over: threading.Event
    ) -> None:
        self._own = str(asked["own"])
        self._to = (str(asked["peers"][peer]), int(asked["port"]))
        self._name = str(asked["name"])
        self._peer = peer
        self._troubles = troubles
        self._over = over
        self._number = 0
        self._since: float | None = None
        """When what is under way began."""

    def tell_what_waits(self) -> None:
        """A message that is late, and not acknowledged yet."""
        if (since := self._since) is not None and time.monotonic() - since > LATE:
            self._troubles.add(self._peer, "stalled", since, "a message that is not acknowledged yet")

    def _connect(self) -> socket.socket | None:
        since = time.monotonic()
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            connection.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
            connection.settimeout(LATE)
            connection.bind((self._own, 0))
            connection.connect(self._to)
        except OSError as error:
            connection.close()
            self._troubles.add(self._peer, "refused", since, str(error))
            return None
        return connection

    def _exchange(self, connection: socket.socket, length: int, seconds: float) -> None:
        """One message. Raises `OSError` where the connection has ended, or is given up."""
        self._number += 1
        self._since = since = time.monotonic()
        text = message(self._name, self._number, length)
        connection.settimeout(seconds)
        connection.sendall(HEADER.pack(self._name.encode(), self._number, length) + text)
        said = connection.recv(1)
        self._since = None
        if not said:
            raise ConnectionResetError("the other side has ended it")
        if said != RIGHT:
            words = f"message {self._number} of {length} bytes was another one"
            self._troubles.add(self._peer, "content", since, words)
        if time.monotonic() - since > LATE:
            self._troubles.add(self._peer, "stalled", since, f"message {self._number}")
        self._troubles.count()

    def stay(self) -> None:
        """One connection, for as long as it lasts; then another."""
        while not self._over.is_set():
            connection = self._connect()
            if connection is None:
                self._over.wait(STAYING)
                continue
            with connection:
                while not self._over.wait(STAYING):
                    since = time.monotonic()
                    try:
                        self._exchange(connection, SHORT, SILENT)
                    except OSError as error:
                        self._since = None
                        self._troubles.add(self._peer, "broken", since, str(error))
                        break

    def come_and_go(self) -> None:
        """A new connection each time."""
        while not self._over.wait(BRIEF):
            connection = self._connect()
            if connection is None:
                continue
            since = time.monotonic()
            with connection:
                try:
                    self._exchange(connection, LONG, LATE)
                except OSError as error:
                    self._troubles.add(self._peer, "broken", since, str(error))


def main(asked: Mapping[str, Any]) -> None:
    """Exchange messages from one line to an empty one."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    server.bind((asked["own"], asked["port"]))
    server.listen(128)
    threading.Thread(target=accept, args=[server], daemon=True).start()
    troubles, over, clients = Troubles(asked["shift"]), threading.Event(), []
    say({"ready": True})
    if not sys.stdin.readline().strip():  # who asked is gone
        return
    say({"now": time.monotonic() + asked["shift"]})
    for peer in asked["peers"]:
        client, brief = Client(asked, peer, troubles, over), Client(asked, peer, troubles, over)
        threading.Thread(target=client.stay, daemon=True).start()
        threading.Thread(target=brief.come_and_go, daemon=True).start()
        clients.append(client)
    while sys.stdin.readline().strip():
        pass
    over.set()
    for client in clients:
        client.tell_what_waits()
    say({"troubles": troubles.found, "messages": troubles.messages})
    sys.stdin.readline()


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
