"""How a probe is known among all packets, and what is read of one that was seen. Pure.

A probe bears a word of 32 bits, the mark, and its number. An echo request and a UDP datagram have both at the
beginning of their payload. A TCP segment has the mark as its sequence number, and its number is in the port
that it comes from. Answers bear them as well: an echo reply has the payload, a TCP segment acknowledges the
mark, an ICMP error quotes what it is about (lab/trace/inside/probes.py sends them).
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from lab.trace.packet import HEADER, Address, Protocol

__all__ = ["Kind", "Marks", "Sighting"]

ENCAPSULATIONS = (0, 8, 16 + 14)
"""Bytes between an outer IP header and what may follow it: nothing in IP in IP; UDP; UDP, VXLAN, Ethernet."""

UDP, TCP, ICMP, ICMP6, IPIP, IPV6_IN_IP = 17, 6, 1, 58, 4, 41
"""Protocol numbers (IANA)."""

QUOTING = {ICMP: (3, 11, 12), ICMP6: (1, 2, 3, 4)}
"""ICMP types that quote the packet that they are about (RFC 792, RFC 4443)."""

Kind = Literal["probe", "answer", "error"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """A probe, an answer or an error about one, seen as it entered or left a device."""

    machine: str
    namespace: str
    device: str
    way: str
    at: float
    """Seconds, by the kernel's wall clock."""
    kind: Kind
    number: int
    source: Address
    """Of the innermost packet."""
    destination: Address
    size: int
    """Bytes of the innermost packet, by its own header."""
    outer: tuple[Address, Address] | None = None
    """Source and destination of what carries it."""
    whole: bool = True
    """Whether its payload is what was sent."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Those of one trace."""

    mark: int
    protocol: Protocol
    family: Literal[4, 6]
    from_port: int = 0
    """TCP: of the first probe."""
    largest: int = 0
    """TCP: bytes of payload of a probe of the largest size; what acknowledges it may count them."""

    def values(self) -> Sequence[int]:
        """The words to look for."""
        if self.protocol != "tcp":
            return (self.mark,)
        ends = (self.mark, self.mark + 1, self.mark + 1 + self.largest)
        return tuple(dict.fromkeys(word & 0xFFFFFFFF for word in ends))

    def offsets(self) -> Sequence[int]:
        """Where they can be, in bytes from the network header of what a device carries."""
        places: set[int] = set()
        for outer in (0, *(HEADER[family] + gap for family in (4, 6) for gap in ENCAPSULATIONS)):
            inner = outer + HEADER[self.family]
            quoted = inner + 8 + HEADER[self.family]
            places |= (
                {inner + 8, quoted + 8} if self.protocol != "tcp" else {inner + 4, inner + 8, quoted + 4}
            )
        return tuple(sorted(places))

    def read(self, machine: str, namespace: str, told: Iterable[dict[str, object]]) -> Iterator[Sighting]:
        """What the taps of a machine have seen, as its program tells it."""
        for item in told:
            data = bytes.fromhex(str(item["data"]))
            for packet, outer in _packets(data, None):
                found = self._probe(packet)
                if found is not None:
                    kind, number, whole = found
                    place = machine, namespace, str(item["device"]), str(item["way"])
                    at = float(str(item["at"]))
                    ends = packet.source, packet.destination
                    yield Sighting(*place, at, kind, number, *ends, packet.size, outer, whole)
                    break

    def known(self, data: bytes) -> tuple[Address, Address, int, tuple[Kind, int] | None] | None:
        """Of the first bytes of a packet: its ends, its protocol, and which one of ours it is, if it is one.

        None if it is no IP packet.
        """
        packet = _ip(data)
        if packet is None:
            return None
        found = self._probe(packet)
        return packet.source, packet.destination, packet.protocol, found[:2] if found is not None else None

    def _probe(self, packet: "_Read") -> tuple[Kind, int, bool] | None:
        """What a packet is of our own; None if it is nothing."""
        data = packet.payload
        if packet.protocol in QUOTING and data[:1] and data[0] in QUOTING[packet.protocol]:
            quoted = next(iter(_packets(data[8:], None)), None)
            inner = self._probe(quoted[0]) if quoted is not None else None
            return ("error", inner[1], True) if inner is not None else None
        if self.protocol == "tcp":
            return self._segment(packet)
        wanted = {"udp": (UDP,), "icmp": (ICMP, ICMP6)}.get(self.protocol, ())
        if packet.protocol not in wanted or len(data) < 14:
            return None
        mark, number = struct.unpack("!IH", data[8:14])
        if mark != self.mark:
            return None
        pattern = bytes(range(256)) * (len(data) // 256 + 1)
        whole = data[14:] == pattern[: len(data) - 14]
        is_answer = packet.protocol != UDP and data[0] in (0, 129)
        return ("answer" if is_answer else "probe"), number, whole

    def _segment(self, packet: "_Read") -> tuple[Kind, int, bool] | None:
        if packet.protocol != TCP or len(packet.payload) < 12:
            return None
        source, port, sequence, acknowledged = struct.unpack("!HHII", packet.payload[:12])
        if sequence == self.mark:
            return "probe", source - self.from_port, True
        if acknowledged in self.values()[1:]:
            return "answer", port - self.from_port, True
        return None


@dataclass(frozen=True, slots=True)
class _Read:
    """An IP packet."""

    source: Address
    destination: Address
    protocol: int
    size: int
    payload: bytes


def _packets(
    data: bytes, outer: tuple[Address, Address] | None
) -> Iterator[tuple[_Read, tuple[Address, Address] | None]]:
    """The packet that begins here, then what it may carry, with the ends of what carries it."""
    found = _ip(data)
    if found is None:
        return
    yield found, outer
    if outer is not None:
        return
    ends = found.source, found.destination
    if found.protocol in (IPIP, IPV6_IN_IP):
        yield from _packets(found.payload, ends)
    elif found.protocol == UDP:
        for gap in ENCAPSULATIONS[1:]:
            yield from _packets(found.payload[gap:], ends)


def _ip(data: bytes) -> _Read | None:
    if len(data) >= 20 and data[0] >> 4 == 4:
        header, size = (data[0] & 15) * 4, int.from_bytes(data[2:4])
        return _Read(ip_address(data[12:16]), ip_address(data[16:20]), data[9], size, data[header:size])
    if len(data) >= 40 and data[0] >> 4 == 6:
        size = int.from_bytes(data[4:6]) + 40
        return _Read(ip_address(data[8:24]), ip_address(data[24:40]), data[6], size, data[40:size])
    return None
