"""Frames for the tests of impairments, as the RFCs have them, and what a `Match` plainly means of them."""

import struct
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from lab.faults.impairment import Match

__all__ = ["PACKETS", "Packet", "frame", "is_meant"]

NUMBERS = {"tcp": (6, 6), "udp": (17, 17), "icmp": (1, 58), "ipip": (4, 4), "other": (132, 132)}
"""IANA: protocol numbers, IPv4 and IPv6."""


@dataclass(frozen=True)
class Packet:
    source: str
    destination: str
    protocol: str = "udp"
    ports: tuple[int, int] = (40000, 8285)
    fragment: int = 0
    """Offset of a fragment in units of eight bytes."""
    options: int = 0
    """Words of IPv4 options; in IPv6 an extension header of as many."""


address = cache(ip_address)


@cache
def frame(packet: Packet) -> bytes:
    """Ethernet, IP, and the ports, at least: RFC 791, 3.1; RFC 8200, 3; RFC 768."""
    source, destination = address(packet.source), address(packet.destination)
    if isinstance(source, IPv4Address):
        payload = struct.pack("!HHHH", *packet.ports, 8, 0) if not packet.fragment else b"\xff" * 8
        head = struct.pack(
            "!BBHHHBBH4s4s",
            0x45 + packet.options, 0, 28 + 4 * packet.options, 1, 0x2000 | packet.fragment, 64,
            NUMBERS[packet.protocol][0], 0, source.packed, destination.packed,
        )  # fmt: skip
        return bytes(12) + b"\x08\x00" + head + bytes(4 * packet.options) + payload
    assert isinstance(source, IPv6Address)
    assert isinstance(destination, IPv6Address)
    kind, payload = NUMBERS[packet.protocol][1], struct.pack("!HHHH", *packet.ports, 8, 0)
    if packet.fragment:  # RFC 8200, 4.5
        kind, payload = 44, struct.pack("!BBHI", kind, 0, packet.fragment << 3 | 1, 1) + payload
    if packet.options:  # RFC 8200, 4.3: hop-by-hop options, here one of padding
        kind, payload = 0, bytes([kind, 0, 1, 4, 0, 0, 0, 0]) + payload
    head = struct.pack("!IHBB", 6 << 28 | 0xABCDE, len(payload), kind, 64)
    return bytes(12) + b"\x86\xdd" + head + source.packed + destination.packed + payload


def is_meant(match: Match, packet: Packet, *, outgoing: bool) -> bool:
    """Whether a person would say that the match means this packet."""
    peer = address(packet.destination if outgoing else packet.source)
    if match.peers and not any(peer in network for network in match.peers if network.version == peer.version):
        return False
    extended = bool(packet.fragment or packet.options)
    if match.protocol and (packet.protocol != match.protocol or (peer.version == 6 and extended)):
        return False
    if match.port:
        return packet.protocol in ("tcp", "udp") and not extended and match.port in packet.ports
    return True


PACKETS = [
    Packet(source, destination, protocol, ports, fragment, options)
    for source, destination in [
        ("192.168.199.52", "192.168.199.53"),
        ("192.168.199.53", "192.168.199.52"),
        ("10.2.35.7", "10.2.99.200"),
        ("fd00::52", "fd00::53"),
        ("fd00::53", "fd00:0:0:1::52"),
    ]
    for protocol in NUMBERS
    for ports in [(40000, 8285), (8285, 40000), (8285, 8285), (2379, 50000)]
    for fragment, options in [(0, 0), (185, 0), (0, 2)]
]
