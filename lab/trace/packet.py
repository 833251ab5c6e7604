"""A packet on its way: what hosts and their firewalls decide by. Pure."""

import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal

from lab.packet_filter import Address, Facts

__all__ = ["HEADER", "Address", "Packet", "Protocol", "parse_address"]

Protocol = Literal["icmp", "udp", "tcp", "ipip"]

HEADER = {4: 20, 6: 40}
"""Bytes of an IP header without options."""

NUMBERS: dict[tuple[Protocol, int], int] = {
    ("icmp", 4): 1, ("icmp", 6): 58, ("udp", 4): 17, ("udp", 6): 17, ("tcp", 4): 6, ("tcp", 6): 6,
    ("ipip", 4): 4, ("ipip", 6): 41,
}  # fmt: skip
"""Of the protocol, in the IP header (IANA)."""

ECHO: dict[tuple[int, bool], frozenset[str | int]] = {
    (4, False): frozenset({"echo-request", 8}),
    (4, True): frozenset({"echo-reply", 0}),
    (6, False): frozenset({"echo-request", 128}),
    (6, True): frozenset({"echo-reply", 129}),
}
"""ICMP's type, by version of IP and whether it answers (RFC 792, RFC 4443)."""


def parse_address(text: str) -> Address | None:
    """An address, if the text is one."""
    try:
        return ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet. One that a tunnel carries is `inner` of another."""

    source: Address
    destination: Address
    protocol: Protocol
    size: int
    """Bytes, IP header included."""
    port: int = 0
    """Of the destination; 0 for a protocol without ports."""
    from_port: int = 0
    """Of the source; 0 where it has none, or where it is not known."""
    answers: bool = False
    """Whether it belongs to a connection that the other end has begun."""
    inner: "Packet | None" = None
    vni: int = 0
    """Of a VXLAN datagram."""

    @property
    def family(self) -> Literal[4, 6]:
        """The version of IP."""
        return self.destination.version

    @property
    def number(self) -> int:
        """Its protocol's."""
        return NUMBERS[self.protocol, self.family]

    def answer(self) -> "Packet":
        """What the other end sends back."""
        return replace(
            self,
            source=self.destination,
            destination=self.source,
            port=self.from_port,
            from_port=self.port,
            answers=not self.answers,
        )

    def head(self) -> bytes:
        """The IP header and the ports, as far as classifiers look: lengths and checksums are left out."""
        addresses = self.source.packed + self.destination.packed
        if self.family == 4:
            ip = struct.pack("!BBHHHBBH", 0x45, 0, self.size & 0xFFFF, 0, 0, 64, self.number, 0) + addresses
        else:
            ip = struct.pack("!IHBB", 6 << 28, (self.size - 40) & 0xFFFF, self.number, 64) + addresses
        return ip + struct.pack("!HH", self.from_port, self.port)

    def transport(self) -> bytes:
        """The transport's header, and of a VXLAN datagram that one's (RFC 7348), as far as rules look."""
        vxlan = struct.pack("!II", 1 << 27, self.vni << 8) if self.vni else b""
        return struct.pack("!HHHH", self.from_port, self.port, 0, 0) + vxlan

    def facts(self, into: str, out: str, own: frozenset[Address]) -> Facts:
        """What a packet filter decides by, on a machine with these addresses."""
        is_echo = self.protocol == "icmp"
        return Facts(
            family=self.family,
            into=into,
            out=out,
            source=self.source,
            destination=self.destination,
            protocol=self.protocol,
            from_port=self.from_port or None,
            port=self.port or None,
            kind=ECHO[self.family, self.answers] if is_echo else None,
            code=frozenset({0}) if is_echo else None,
            state="established" if self.answers else "new",
            own=own,
            transport=self.transport() if self.protocol == "udp" else None,
        )

    def __str__(self) -> str:
        ports = f":{self.port}" if self.port else ""
        return f"{self.protocol} {self.source} -> {self.destination}{ports}"
