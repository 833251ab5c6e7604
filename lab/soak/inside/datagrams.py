"""Numbered datagrams from this machine to each of the others over the overlay, and what arrives of theirs.

Argument: {"own": ADDRESS, "name": NAME, "peers": {NAME: ADDRESS}, "port": N, "every": SECONDS,
"shift": SECONDS}; addresses are docker0's. It prints {"ready": true} once it receives. Given a line, it
begins to send and prints {"now": MONOTONIC}. Given an empty one, or no more, it stops sending,
waits for what is on its way, and prints
    {"sent": {NAME: COUNT}, "heard": {NAME: HEARD}}, where HEARD is
    {"count": N, "next": N, "last": MONOTONIC, "lost": [[FROM, TO, COUNT], ...]}
Times are of CLOCK_MONOTONIC with the shift added, which makes it everybody's: a datagram carries when it was
sent. What is lost was sent between the two datagrams around it.
"""

import json
import select
import socket
import sys
import time
from typing import Any

IP_FREEBIND = 15
"""linux/in.h: to an address that is not there just now."""

LATE = 0.5
"""Seconds that a datagram may be on its way."""


class Heard:
    """What has arrived from one sender."""

    def __init__(self, began: float) -> None:
        self.count = 0
        self.next = 0
        self.last = began
        self.missing: dict[int, tuple[float, float]] = {}
        """Between which times each of these was sent."""

    def take(self, number: int, sent: float) -> None:
        """One has arrived; it may have been overtaken."""
        self.count += 1
        if number < self.next:
            self.missing.pop(number, None)
            return
        for lost in range(self.next, number):
            self.missing[lost] = (self.last, sent)
        self.next, self.last = number + 1, sent

    def told(self) -> dict[str, Any]:
        """As JSON: what is lost between the same two is one item."""
        between: dict[tuple[float, float], int] = {}
        for around in self.missing.values():
            between[around] = between.get(around, 0) + 1
        lost = [[*around, count] for around, count in sorted(between.items())]
        return {"count": self.count, "next": self.next, "last": self.last, "lost": lost}


def receive(own: socket.socket, heard: dict[str, Heard], began: float) -> None:
    """All that is there."""
    while True:
        try:
            data = own.recv(2048)
        except BlockingIOError:
            return
        except OSError:  # an ICMP error about what was sent
            continue
        name, number, sent = json.loads(data)
        heard.setdefault(name, Heard(began)).take(number, sent)


def main(asked: dict[str, Any]) -> None:
    """Send and receive from one line to an empty one."""
    own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    own.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    own.bind((asked["own"], asked["port"]))
    own.setblocking(False)
    shift = asked["shift"]
    sent = dict.fromkeys(asked["peers"], 0)
    heard: dict[str, Heard] = {}
    say({"ready": True})
    if not sys.stdin.readline().strip():  # who asked is gone
        return
    began = due = time.monotonic() + shift
    say({"now": began})
    ends: float | None = None
    while ends is None or time.monotonic() + shift < ends:
        now = time.monotonic() + shift
        if ends is None and now >= due:
            due = max(due + asked["every"], now)
            for name, address in asked["peers"].items():
                data = json.dumps([asked["name"], sent[name], now]).encode()
                sent[name] += 1
                try:
                    own.sendto(data, (address, asked["port"]))
                except OSError:  # then it is lost, as its receiver tells
                    continue
        inputs = [own] if ends is not None else [own, sys.stdin]
        until = (due if ends is None else ends) - time.monotonic() - shift
        ready = select.select(inputs, [], [], max(0.0, until))[0]
        if own in ready:
            receive(own, heard, began)
        if sys.stdin in ready and not sys.stdin.readline().strip():
            ends = time.monotonic() + shift + LATE
    say({"sent": sent, "heard": {name: item.told() for name, item in heard.items()}})


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
