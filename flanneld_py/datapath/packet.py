"""IPv4 headers: parsing, checksums, TTL, fragmentation. Inputs are never modified."""

from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

__all__ = ["DONT_FRAGMENT", "HEADER_LENGTH", "IPHDR", "Buffer", "Header", "checksum", "decrement_ttl"]
__all__ += ["fragments", "patch_checksum_for_ttl"]

Buffer: TypeAlias = bytes | bytearray | memoryview

HEADER_LENGTH: Final = 20  # without options; sizeof(struct iphdr)

# net/ip.h: parts of frag_off
DONT_FRAGMENT: Final = 0x4000  # IP_DF
MORE_FRAGMENTS: Final = 0x2000  # IP_MF
IP_OFFSET: Final = 0x1FFF  # the fragment offset, in units of 8 bytes

# linux/ip.h
IPOPT_END: Final = 0
IPOPT_NOOP: Final = 1
IPOPT_COPY: Final = 0x80  # copied flag: the option is repeated in every fragment

# version+ihl, tos, tot_len, id, frag_off, ttl, protocol, check, saddr, daddr: struct iphdr of linux/ip.h
IPHDR: Final = Struct("!BBHHHBBHII")
_TTL_TO_CHECK: Final = Struct("!BBH")
_TTL_OFFSET: Final = 8


class Header(NamedTuple):
    """The fields of an IPv4 header as integers; lengths in bytes, `fragment_offset` in units of 8 bytes."""

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
        """Parse the header without validating it. Raises struct.error if there are fewer than 20 bytes."""
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
    """Compute the Internet checksum (RFC 1071); an odd last byte counts as if followed by a zero byte."""
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(Struct(f"!{len(padded) // 2}H").unpack(padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def patch_checksum_for_ttl(check: int) -> int:
    """Update a header checksum for a decremented TTL (RFC 1624, equation 3; the kernel's ip_decrease_ttl)."""
    patched = check + 0x0100
    return patched if patched < 0xFFFF else (patched + 1) & 0xFFFF


def decrement_ttl(packet: Buffer) -> bytearray:
    """Return a copy with the TTL decremented and the checksum updated. The TTL must not be 0."""
    copy = bytearray(packet)
    ttl, protocol, check = _TTL_TO_CHECK.unpack_from(copy, _TTL_OFFSET)
    _TTL_TO_CHECK.pack_into(copy, _TTL_OFFSET, ttl - 1, protocol, patch_checksum_for_ttl(check))
    return copy


def fragments(packet: Buffer, mtu: int) -> Iterator[bytes]:
    """Fragment a packet into pieces of at most `mtu` bytes (RFC 791, section 3.2).

    The packet may itself be a fragment; DF is ignored. The header must be valid, and `mtu` must leave room
    for 8 bytes after it (RFC 791: every network takes 68).
    """
    if len(packet) <= mtu:
        yield bytes(packet)
        return
    first, tos, _, ident, place, ttl, protocol, _, source, destination = IPHDR.unpack_from(packet)
    length = (first & 15) * 4
    header, data = bytes(packet[:length]), packet[length:]
    begin = 0
    while begin < len(data):
        room = mtu - len(header)
        last = len(data) - begin <= room
        piece = data[begin:] if last else data[begin : begin + room // 8 * 8]
        more = (place & MORE_FRAGMENTS) if last else MORE_FRAGMENTS
        where = (place & DONT_FRAGMENT) | more | ((place & IP_OFFSET) + begin // 8)
        fixed = IPHDR.pack(
            0x40 | len(header) // 4, tos, len(header) + len(piece), ident, where, ttl, protocol, 0,
            source, destination,
        )  # fmt: skip
        whole = bytearray(fixed + header[HEADER_LENGTH:])
        whole[10:12] = checksum(whole).to_bytes(2)
        yield bytes(whole) + bytes(piece)
        begin += len(piece)
        header = header[:HEADER_LENGTH] + _copied(header[HEADER_LENGTH:])


def _copied(options: bytes) -> bytes:
    """Return the options that later fragments carry too, padded to a multiple of 4 bytes."""
    kept, rest = b"", options
    while rest and rest[0] != IPOPT_END:
        size = 1 if rest[0] == IPOPT_NOOP else max(2, rest[1] if len(rest) > 1 else 2)
        if rest[0] & IPOPT_COPY:
            kept += rest[:size]
        rest = rest[size:]
    return kept + bytes(-len(kept) % 4)
