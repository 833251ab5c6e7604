"""A packet in a line: who sends whom what, and in tunnels also inside. Pure."""

import struct
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from lab.capture.model import ETHERNET, Packet

__all__ = ["line", "summary"]

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
ICMP, IPIP, TCP, UDP, IPV6_IN, ICMPV6 = 1, 4, 6, 17, 41, 58
"""https://www.iana.org/assignments/protocol-numbers"""

ICMP_WORDS = {
    ICMP: {0: "echo reply", 3: "unreachable", 5: "redirect", 8: "echo request", 11: "time exceeded"},
    ICMPV6: {
        **{1: "unreachable", 2: "packet too big", 3: "time exceeded", 128: "echo request"},
        **{129: "echo reply", 133: "router solicitation", 134: "router advertisement"},
        **{135: "neighbour solicitation", 136: "neighbour advertisement", 143: "multicast listener"},
    },
}
"""By type: RFC 792, RFC 4443, RFC 4861, RFC 9777."""

ECHO = {ICMP: {0, 8}, ICMPV6: {128, 129}}

FLAGS = {0x02: "SYN", 0x01: "FIN", 0x04: "RST", 0x08: "PSH", 0x10: "ACK"}
"""RFC 9293, 3.1."""

MOST = 4
"""Packets in packets."""

VXLAN = 8
"""Bytes of its header (RFC 7348)."""


def line(packet: Packet, when: datetime, width: int) -> str:
    """The packet, whose second is `when`; its place is as wide as all others."""
    clock = f"{when:%H:%M:%S}.{packet.at % 10**9:09d}"
    told = summary(packet.data, packet.place.link_type)
    return f"{clock}  {packet.place.name:<{width}}  {packet.direction:<3}  {told}, {packet.length} bytes"


def summary(data: bytes, link_type: int) -> str:
    """What it is, as far as it is there; of what is inside a tunnel the same, in brackets."""
    return _ethernet(data, 0) if link_type == ETHERNET else _ip(data, 0)


def _ethernet(data: bytes, depth: int) -> str:
    if len(data) < 14:
        return "cut off"
    kind = int.from_bytes(data[12:14])
    if kind == ARP and len(data) >= 42:
        return _arp(data[14:])
    if kind in (IPV4, IPV6):
        return _ip(data[14:], depth)
    return f"{data[6:12].hex(':')} > {data[:6].hex(':')} type 0x{kind:04x}"


def _arp(data: bytes) -> str:
    sender, wanted = IPv4Address(data[14:18]), IPv4Address(data[24:28])
    if int.from_bytes(data[6:8]) == 1:
        return f"{sender} > everybody  ARP who has {wanted}"
    return f"{sender} > {wanted}  ARP {sender} is at {data[8:14].hex(':')}"


def _ip(data: bytes, depth: int) -> str:
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        ends = IPv4Address(data[12:16]), IPv4Address(data[16:20])
        piece, protocol, payload = int.from_bytes(data[6:8]), data[9], data[(data[0] & 15) * 4 :]
        if piece & 0x1FFF:
            return f"{ends[0]} > {ends[1]}  fragment at {(piece & 0x1FFF) * 8}, protocol {protocol}"
        return _carried(str(ends[0]), str(ends[1]), protocol, payload, depth)
    if version == 6 and len(data) >= 40:
        source, target = IPv6Address(data[8:24]), IPv6Address(data[24:40])
        return _carried(f"[{source}]", f"[{target}]", *_behind_extensions(data[6], data[40:]), depth)
    return "cut off" if version in (4, 6) or not data else "not IP"


def _behind_extensions(protocol: int, data: bytes) -> tuple[int, bytes]:
    """Past hop-by-hop options, routing and destination options (RFC 8200, 4)."""
    while protocol in (0, 43, 60) and len(data) >= 8:
        protocol, data = data[0], data[(data[1] + 1) * 8 :]
    return protocol, data


def _carried(source: str, target: str, protocol: int, data: bytes, depth: int) -> str:
    """What a packet carries from one address to another."""
    if protocol in (TCP, UDP) and len(data) >= 8:
        from_port, to_port = struct.unpack_from(">HH", data)
        ends = f"{source}:{from_port} > {target}:{to_port}"
        return f"{ends}  {_tcp(data) if protocol == TCP else _udp(data, depth)}"
    ends = f"{source.strip('[]')} > {target.strip('[]')}"
    if protocol in ICMP_WORDS and len(data) >= 8:
        words = ICMP_WORDS[protocol].get(data[0], f"type {data[0]} code {data[1]}")
        number = f" {int.from_bytes(data[6:8])}" if data[0] in ECHO[protocol] else ""
        return f"{ends}  {'ICMP' if protocol == ICMP else 'ICMPv6'} {words}{number}"
    if protocol in (IPIP, IPV6_IN) and depth < MOST:
        return f"{ends}  IP in IP [{_ip(data, depth + 1)}]"
    return f"{ends}  protocol {protocol}"


def _tcp(data: bytes) -> str:
    if len(data) < 20:
        return "TCP"
    return f"TCP {','.join(word for bit, word in FLAGS.items() if data[13] & bit) or 'no flags'}"


def _udp(data: bytes, depth: int) -> str:
    """A tunnel is known by what it carries, so that its port may be any."""
    inner = data[8:]
    if depth == MOST:
        return "UDP"
    if inner[:4] == b"\x08\0\0\0" and inner[7:8] == b"\0" and len(inner) >= VXLAN + 14:
        return f"VXLAN {int.from_bytes(inner[4:7])} [{_ethernet(inner[VXLAN:], depth + 1)}]"
    # The kernel may hand on several datagrams as one.
    if len(inner) >= 20 and inner[0] == 0x45 and 20 <= int.from_bytes(inner[2:4]) <= _length(data) - 8:
        return f"UDP [{_ip(inner, depth + 1)}]"
    return "UDP"


def _length(datagram: bytes) -> int:
    """What a datagram's header says (RFC 768)."""
    return int.from_bytes(datagram[4:6])
