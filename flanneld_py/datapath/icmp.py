"""ICMP errors about inner packets (RFC 792), as a router sends them for packets that it drops. Pure."""

from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from flanneld_py.datapath.packet import HEADER_LENGTH, IPHDR, Buffer, Header, checksum

__all__ = ["fragmentation_needed", "net_unreachable", "time_exceeded"]

# linux/in.h, linux/icmp.h
IPPROTO_ICMP: Final = 1
ICMP_DEST_UNREACH: Final = 3
ICMP_TIME_EXCEEDED: Final = 11
ICMP_NET_UNREACH: Final = 0
ICMP_FRAG_NEEDED: Final = 4
ICMP_EXC_TTL: Final = 0
# The ICMP types that are not errors: echo, router discovery, timestamp, information, mask; RFC 8335.
ICMP_QUERIES: Final = frozenset({0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43})

TTL: Final = 8  # as in flannel's proxy.c: a reply only has to reach this host or a pod on it
FAR_TTL: Final = 64  # for an error that crosses the overlay

# type, code, checksum, 2 unused bytes, next-hop MTU (RFC 1191, section 4)
_ICMPHDR: Final = Struct("!BBHHH")


def net_unreachable(packet: Buffer, tunnel: IPv4Address, broadcast: int | None = None) -> bytes | None:
    """Build an ICMP "net unreachable" about `packet`, sent from `tunnel`; None if none may be sent.

    As RFC 1122, section 3.2.2, requires, none is sent about an ICMP error, a fragment other than the first, a
    multicast or broadcast destination (`broadcast` is the overlay network's), or a source that is not a
    single host. v0.5.5 never answers ICMP packets; here a ping to an unknown destination fails at once. The
    format is v0.5.5's: TTL 8, the original header and up to 8 bytes of what follows.
    """
    return _error(packet, ICMP_DEST_UNREACH, ICMP_NET_UNREACH, tunnel, broadcast)


def fragmentation_needed(
    packet: Buffer, tunnel: IPv4Address, mtu: int, broadcast: int | None = None
) -> bytes | None:
    """Build an ICMP "fragmentation needed and DF set" with the next-hop MTU `mtu`, in bytes (RFC 1191)."""
    return _error(packet, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, tunnel, broadcast, mtu=mtu, ttl=FAR_TTL)


def time_exceeded(packet: Buffer, tunnel: IPv4Address, broadcast: int | None = None) -> bytes | None:
    """Build an ICMP "TTL exceeded in transit", as traceroute needs it; v0.5.5 only drops the packet."""
    return _error(packet, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, tunnel, broadcast, ttl=FAR_TTL)


def _error(
    packet: Buffer,
    kind: int,
    code: int,
    tunnel: IPv4Address,
    broadcast: int | None,
    *,
    mtu: int = 0,
    ttl: int = TTL,
) -> bytes | None:
    header = Header.of(packet)
    if header.fragment_offset != 0 or header.destination >= 0xE0000000 or header.destination == broadcast:
        return None
    if not _is_single_host(header.source) or header.source == broadcast:
        return None
    quoted = bytes(packet[: header.header_length + 8])
    if header.protocol == IPPROTO_ICMP and not (
        len(quoted) > header.header_length and quoted[header.header_length] in ICMP_QUERIES
    ):
        return None
    message = bytearray(_ICMPHDR.pack(kind, code, 0, 0, mtu) + quoted)
    message[2:4] = checksum(message).to_bytes(2)
    total = HEADER_LENGTH + len(message)
    outer = bytearray(IPHDR.pack(0x45, 0, total, 0, 0, ttl, IPPROTO_ICMP, 0, int(tunnel), header.source))
    outer[10:12] = checksum(outer).to_bytes(2)
    return bytes(outer + message)


def _is_single_host(address: int) -> bool:
    """Whether an address is outside 0.0.0.0/8, loopback, multicast, reserved and broadcast."""
    return 0 < address >> 24 < 224 and address >> 24 != 127
