"""IPv4 and ICMP headers: reading, checking, and building new packets. Inputs are never altered."""

from ipaddress import IPv4Address
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Buffer", "Header", "checksum", "decrement_ttl", "net_unreachable", "patch_checksum_for_ttl"]

Buffer: TypeAlias = bytes | bytearray | memoryview

HEADER_LENGTH: Final = 20  # without options; sizeof(struct iphdr)
ICMP_HEADER_LENGTH: Final = 8

# linux/in.h, linux/icmp.h
IPPROTO_ICMP: Final = 1
ICMP_DEST_UNREACH: Final = 3
ICMP_NET_UNREACH: Final = 0
# The ICMP types that are no errors: echo, router discovery, timestamp, information, mask; RFC 8335.
ICMP_QUERIES: Final = frozenset({0, 8, 9, 10, 13, 14, 15, 16, 17, 18, 42, 43})
IP_OFFSET: Final = 0x1FFF  # net/ip.h: the fragment offset in frag_off
UNREACHABLE_TTL: Final = 8  # flannel's proxy.c: the reply only has to reach this host or a pod on it

# version+ihl, tos, tot_len, id, frag_off, ttl, protocol, check, saddr, daddr: struct iphdr of linux/ip.h
IPHDR: Final = Struct("!BBHHHBBHII")
_ICMPHDR: Final = Struct("!BBHI")
_TTL_TO_CHECK: Final = Struct("!BBH")
_TTL_OFFSET: Final = 8


class Header(NamedTuple):
    """The fields of an IPv4 header, as numbers; lengths in bytes, `fragment_offset` in units of 8 bytes."""

    version: int
    header_length: int
    total_length: int
    fragment_offset: int
    ttl: int
    protocol: int
    checksum: int
    source: int
    destination: int

    @classmethod
    def of(cls, packet: Buffer) -> "Header":
        """Read the header; struct.error where there are fewer than 20 bytes. Nothing is judged."""
        first, _, total, _, fragment, ttl, protocol, check, source, destination = IPHDR.unpack_from(packet)
        return cls(
            version=first >> 4,
            header_length=(first & 15) * 4,
            total_length=total,
            fragment_offset=fragment & IP_OFFSET,
            ttl=ttl,
            protocol=protocol,
            checksum=check,
            source=source,
            destination=destination,
        )


def checksum(data: Buffer) -> int:
    """The Internet checksum of RFC 1071; an odd last byte counts as if a zero byte followed."""
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(Struct(f"!{len(padded) // 2}H").unpack(padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def patch_checksum_for_ttl(check: int) -> int:
    """The header checksum once the TTL is one lower (RFC 1624, equation 3; ip_decrease_ttl in the kernel)."""
    patched = check + 0x0100
    return patched if patched < 0xFFFF else (patched + 1) & 0xFFFF


def decrement_ttl(packet: Buffer) -> bytearray:
    """A copy with the TTL one lower and the checksum patched. The TTL must not be 0."""
    copy = bytearray(packet)
    ttl, protocol, check = _TTL_TO_CHECK.unpack_from(copy, _TTL_OFFSET)
    _TTL_TO_CHECK.pack_into(copy, _TTL_OFFSET, ttl - 1, protocol, patch_checksum_for_ttl(check))
    return copy


def net_unreachable(packet: Buffer, tun_ip: IPv4Address, broadcast: int | None = None) -> bytes | None:
    """ICMP "net unreachable" about `packet`, sent from `tun_ip`; None where there must not be one.

    There is none (RFC 1122, 3.2.2) about an ICMP error, nor about a fragment other than the first, a
    multicast or broadcast destination (`broadcast` is the overlay network's), or a source that is no single
    host. v0.5.5 never answers ICMP; here a ping to an unknown destination is told at once. The form is
    v0.5.5's: TTL 8, the original header and up to 8 bytes of what follows.
    """
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
    return _icmp(tun_ip, header.source, quoted)


def _is_single_host(address: int) -> bool:
    """Not 0.0.0.0/8, loopback, multicast, reserved or broadcast."""
    return 0 < address >> 24 < 224 and address >> 24 != 127


def _icmp(source: IPv4Address, destination: int, quoted: bytes) -> bytes:
    message = bytearray(_ICMPHDR.pack(ICMP_DEST_UNREACH, ICMP_NET_UNREACH, 0, 0) + quoted)
    message[2:4] = checksum(message).to_bytes(2)
    header = bytearray(
        IPHDR.pack(
            0x45,
            0,
            HEADER_LENGTH + len(message),
            0,
            0,
            UNREACHABLE_TTL,
            IPPROTO_ICMP,
            0,
            int(source),
            destination,
        )
    )
    header[10:12] = checksum(header).to_bytes(2)
    return bytes(header + message)
