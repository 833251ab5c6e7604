"""Sending marked packets from a network namespace, and hearing the answers there.

A probe has a number. What bears the mark, and where, `lab.trace.marks` says; this has to agree with it.
"""

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["send"]

ECHO, ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
"""ICMP types, RFC 792 and RFC 4443."""

ERRORS = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
"""Destination unreachable, packet too big, time exceeded, parameter problem; likewise."""

SYN, RST, ACK = 0x02, 0x04, 0x10
"""RFC 9293, 3.1."""

IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE = 23, 3
"""linux/in.h, linux/in6.h: never fragment, and heed no former message that a packet is too big."""

SO_RCVBUFFORCE = 33  # asm-generic/socket.h

BUFFER = 1 << 24
"""Bytes of answers that wait for us: on a busy machine all of them may, of 64 KiB each by way of lo."""

HEADER = {4: 20, 6: 40}
"""Bytes of an IP header."""

AFTER_ALL = 0.05
"""Seconds that are waited once all are answered, for what comes twice."""


@dataclass
class Told:
    """What has come of the probes."""

    sent: dict[int, float] = field(default_factory=dict)
    answered: dict[int, float] = field(default_factory=dict)
    """The first answer of each: the seconds it took."""
    refused: dict[int, str] = field(default_factory=dict)
    """Those that the kernel did not send, and why."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """ICMP errors: who sent them, what, and of which probe."""
    kinds: dict[int, str] = field(default_factory=dict)
    """What answered: reply, open, closed."""


def send(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Send what is asked for from the calling thread's network namespace; what came of it."""
    try:
        probing = {"icmp": Echo, "udp": Datagrams, "tcp": Syns}[asked["protocol"]](asked)
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        # The address has gone from here: the tables are to tell of that.
        refused = {str(number): f"{asked['source']} is not here" for number in range(len(asked["sizes"]))}
        return {"sent": [], "answered": {}, "refused": refused, "errors": [], "kinds": {}}
    try:
        told = _run(probing, asked)
    finally:
        probing.close()
    return {
        "sent": list(told.sent),
        "answered": {str(number): seconds for number, seconds in told.answered.items()},
        "refused": {str(number): why for number, why in told.refused.items()},
        "errors": told.errors,
        "kinds": {str(number): kind for number, kind in told.kinds.items()},
    }


def _run(probing: "Probing", asked: Mapping[str, Any]) -> Told:
    told, sizes, interval = Told(), asked["sizes"], asked["interval"]
    began = time.monotonic()
    for number, size in enumerate(sizes):
        _hear(probing, told, began + number * interval)
        try:
            probing.send(number, size)
        except OSError as error:
            too_big = f"{size} bytes are more than its device takes"
            told.refused[number] = too_big if error.errno == errno.EMSGSIZE else os.strerror(error.errno or 0)
        else:
            told.sent[number] = time.monotonic()
    until = time.monotonic() + asked["patience"]
    while set(told.sent) - set(told.answered) and time.monotonic() < until:
        _hear(probing, told, min(until, time.monotonic() + 0.2))
    _hear(probing, told, time.monotonic() + AFTER_ALL)
    return told


def _hear(probing: "Probing", told: Told, until: float) -> None:
    """Take what comes until then."""
    while (left := until - time.monotonic()) > 0:
        ready = select.select(probing.sockets, [], [], left)[0]
        if not ready:
            return
        for one in ready:
            for number, what in probing.heard(one):
                if isinstance(what, dict):
                    told.errors.append({"number": number, **what})
                elif number in told.sent and number not in told.answered:
                    told.answered[number] = time.monotonic() - told.sent[number]
                    told.kinds[number] = what


class Probing:
    """One kind of probes: how they are sent, and what is an answer."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.family = 6 if ":" in asked["to"] else 4
        self.inet = socket.AF_INET6 if self.family == 6 else socket.AF_INET
        self.mark: int = asked["mark"]
        self.to: str = asked["to"]
        self.source: str = asked["source"]
        self.port: int = asked.get("port", 0)
        self.from_port: int = asked.get("fromPort", 0)
        protocol = socket.IPPROTO_ICMPV6 if self.family == 6 else socket.IPPROTO_ICMP
        self.icmp = self.open(socket.SOCK_RAW, protocol)
        self.sockets = [self.icmp]

    def open(self, kind: int, protocol: int = 0) -> socket.socket:
        """A socket that sends from our address, and what it sends is never fragmented."""
        made = socket.socket(self.inet, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        if self.source:
            made.bind((self.source, 0))
        if self.family == 4:
            made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        else:
            made.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE)
        return made

    def payload(self, number: int, length: int) -> bytes:
        """So many bytes behind the transport's header: the mark, the number, a pattern."""
        head = struct.pack("!IH", self.mark, number)
        pattern = bytes(range(256)) * (length // 256 + 1)
        return (head + pattern)[: max(length, len(head))]

    def send(self, number: int, size: int) -> None:
        """Send one of so many bytes, IP header included. Raises `OSError`."""
        raise NotImplementedError

    def heard(self, ready: socket.socket) -> Iterator[tuple[int, str | dict[str, Any]]]:
        """The probes that what can be read is about, with the kind of answer or an ICMP error."""
        packet, sender = ready.recvfrom(65535)
        at = (packet[0] & 15) * 4 if self.family == 4 else 0
        if ready is self.icmp:
            yield from self.icmp_heard(packet[at:], sender[0])
        else:
            yield from self.answer(packet[at:], sender)

    def icmp_heard(self, message: bytes, sender: str) -> Iterator[tuple[int, str | dict[str, Any]]]:
        """What an ICMP message says of our probes."""
        if len(message) < 8:
            return
        kind, code, rest = message[0], message[1], struct.unpack("!I", message[4:8])[0]
        if kind in ERRORS[self.family]:
            inner = message[8:]
            header = (inner[0] & 15) * 4 if self.family == 4 and inner else HEADER[self.family]
            number = self.number_in(inner[header:])
            if number is not None:
                mtu = rest if self.family == 6 else rest & 0xFFFF
                yield number, {"from": sender, "type": kind, "code": code, "mtu": mtu}
                if self.is_answer(kind, code):
                    yield number, "closed"
        elif kind == ECHO_REPLY[self.family]:
            yield from self.answer(message, (sender, 0))

    def number_in(self, transport: bytes) -> int | None:
        """The number of the probe that begins so; None if it is not ours."""
        if len(transport) < 14 or struct.unpack("!I", transport[8:12])[0] != self.mark:
            return None
        return int(struct.unpack("!H", transport[12:14])[0])

    def is_answer(self, _kind: int, _code: int) -> bool:
        """Whether an ICMP error is what the other end itself answers."""
        return False

    def answer(self, _data: bytes, _sender: Any) -> Iterator[tuple[int, str]]:
        """What of our own sockets is an answer."""
        yield from ()

    def close(self) -> None:
        """Close all sockets."""
        for one in self.sockets:
            one.close()


class Echo(Probing):
    """ICMP echo requests; the identifier is in the mark's place of no importance."""

    def send(self, number: int, size: int) -> None:
        """Send one."""
        data = self.payload(number, size - HEADER[self.family] - 8)
        head = struct.pack("!BBHHH", ECHO[self.family], 0, 0, self.mark & 0xFFFF, number)
        if self.family == 4:  # the kernel computes that of ICMPv6 (RFC 3542, 3.1)
            total = checksum(head + data)
            head = struct.pack("!BBHHH", ECHO[4], 0, total, self.mark & 0xFFFF, number)
        self.icmp.sendto(head + data, (self.to, 0))

    def answer(self, data: bytes, _sender: Any) -> Iterator[tuple[int, str]]:
        """An echo reply with our mark."""
        if data[0] == ECHO_REPLY[self.family] and (number := self.number_in(data)) is not None:
            yield number, "reply"


class Datagrams(Probing):
    """UDP datagrams. That its port is closed is an answer, too: it has arrived."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        super().__init__(asked)
        self.udp = self.open(socket.SOCK_DGRAM)
        self.sockets.append(self.udp)

    def send(self, number: int, size: int) -> None:
        """Send one."""
        self.udp.sendto(self.payload(number, size - HEADER[self.family] - 8), (self.to, self.port))

    def heard(self, ready: socket.socket) -> Iterator[tuple[int, str | dict[str, Any]]]:
        """What gives the mark back, as an echo service does, and the ICMP errors."""
        if ready is self.icmp:
            yield from super().heard(ready)
            return
        data, _ = ready.recvfrom(65535)
        if len(data) >= 6 and struct.unpack("!I", data[:4])[0] == self.mark:
            yield struct.unpack("!H", data[4:6])[0], "reply"

    def is_answer(self, kind: int, code: int) -> bool:
        """Port unreachable."""
        return (kind, code) == ((3, 3) if self.family == 4 else (1, 4))


class Syns(Probing):
    """TCP segments with SYN, each from a port of its own; the kernel ends by RST what they open."""

    def __init__(self, asked: Mapping[str, Any]) -> None:
        super().__init__(asked)
        self.tcp = self.open(socket.SOCK_RAW, socket.IPPROTO_TCP)
        self.sockets.append(self.tcp)

    def send(self, number: int, size: int) -> None:
        """Send one; what is longer than a header carries data, which nobody need take before it is open."""
        data = bytes(max(0, size - HEADER[self.family] - 20))
        head = struct.pack(
            "!HHIIBBHHH", self.from_port + number, self.port, self.mark, 0, 5 << 4, SYN, 64240, 0, 0
        )
        total = checksum(self.pseudo(len(head) + len(data)) + head + data)
        self.tcp.sendto(head[:16] + struct.pack("!H", total) + head[18:] + data, (self.to, 0))

    def pseudo(self, length: int) -> bytes:
        """The pseudo header of RFC 9293, 3.1, and RFC 8200, 8.1."""
        ends = socket.inet_pton(self.inet, self.source) + socket.inet_pton(self.inet, self.to)
        return ends + (struct.pack("!HH", 6, length) if self.family == 4 else struct.pack("!II", length, 6))

    def number_in(self, transport: bytes) -> int | None:
        """By the port that it was sent from, where the sequence number is the mark."""
        if len(transport) < 8 or struct.unpack("!I", transport[4:8])[0] != self.mark:
            return None
        return int(struct.unpack("!H", transport[:2])[0]) - self.from_port

    def answer(self, data: bytes, _sender: Any) -> Iterator[tuple[int, str]]:
        """A segment that acknowledges the mark: SYN, or RST where nobody listens."""
        if len(data) >= 20:
            source, port, _, acknowledged, _, flags = struct.unpack("!HHIIBB", data[:14])
            known = acknowledged == (self.mark + 1) & 0xFFFFFFFF or flags & RST
            if source == self.port and known and flags & ACK:
                yield port - self.from_port, "closed" if flags & RST else "open"


def checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
