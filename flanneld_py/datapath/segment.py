"""Segmentation of a TSO or USO super-packet into individual packets. Pure.

It follows the kernel's own: inet_gso_segment (net/ipv4/af_inet.c), tcp_gso_segment (tcp_offload.c) and
__udp_gso_segment (udp_offload.c). numpy is imported with the first super-packet only, because it takes 16 MB.
"""

from functools import lru_cache
from struct import Struct, pack_into
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flanneld_py.datapath import vnet
from flanneld_py.datapath.packet import HEADER_LENGTH, IPHDR, Buffer, decrement_ttl
from flanneld_py.datapath.sums import MODULUS, row_sums, sum_of
from flanneld_py.datapath.vnet import VnetHeader

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.int64]]

__all__ = ["Unsound", "how_many", "longest", "segments"]

IPPROTO_TCP: Final = 6  # linux/in.h
IPPROTO_UDP: Final = 17
UDP_HEADER: Final = 8  # bytes; sizeof(struct udphdr)
TCP_HEADER: Final = 20  # without options; sizeof(struct tcphdr)

# Flags in the 16 bits of struct tcphdr (linux/tcp.h) that begin with the data offset
TCP_FIN: Final = 0x001
TCP_PSH: Final = 0x008
TCP_CWR: Final = 0x080

_FEW: Final = 3
_WORD: Final = Struct("!H")


class Unsound(ValueError):
    """A packet contradicts its virtio header; the message is one of a few fixed texts."""


class _Shape(NamedTuple):
    """Dimensions of a super-packet, in bytes: the IP header, all headers, and the payload of each segment."""

    ip: int
    headers: int
    payload: int
    protocol: int


def longest(header: VnetHeader, packet: Buffer) -> int:
    """Return the length in bytes of the longest segment; of a packet that is not a super-packet, its own."""
    if header.kind == vnet.NONE:
        return len(packet)
    try:
        shape = _shape(header, packet)
    except Unsound:
        return len(packet)
    return min(len(packet), shape.headers + shape.payload)


def how_many(header: VnetHeader, packet: Buffer) -> int:
    """Return the number of segments; 1 for a malformed super-packet."""
    if header.kind == vnet.NONE:
        return 1
    try:
        return _count(packet, _shape(header, packet))
    except Unsound:
        return 1


def _count(packet: Buffer, shape: _Shape) -> int:
    return -(-(len(packet) - shape.headers) // shape.payload)


def segments(header: VnetHeader, packet: memoryview) -> tuple[memoryview, int]:
    """Return the segments, concatenated, and the length of each of them but the last.

    Their TTL is decremented and all their checksums are correct. `packet` is as the device delivered it; its
    TTL must not be 0. Raises `Unsound`.
    """
    if header.kind == vnet.NONE:
        return memoryview(_single(header, packet)), len(packet)
    shape = _shape(header, packet)
    count = _count(packet, shape)
    build = _by_rows if count > _FEW else _one_by_one
    return build(packet, shape, count), shape.headers + shape.payload


def _single(header: VnetHeader, packet: memoryview) -> bytearray:
    """Finish a packet that is not a super-packet; its checksum may have been left to the device."""
    whole = decrement_ttl(packet)
    if header.flags & vnet.NEEDS_CSUM:
        start, place = header.csum_start, header.csum_start + header.csum_offset
        if place + 2 > len(whole) or start < HEADER_LENGTH:
            raise Unsound("a checksum outside of the packet")
        # The field already holds the sum of the pseudo-header, so only the rest has to be added.
        value = -sum_of(memoryview(whole)[start:]) % MODULUS
        if value == 0 and whole[9] == IPPROTO_UDP:
            value = 0xFFFF  # RFC 768: 0 means no checksum
        whole[place : place + 2] = _WORD.pack(value)
    return whole


def _shape(header: VnetHeader, packet: Buffer) -> _Shape:
    """Derive the dimensions from the packet's own headers: hdr_len is only a hint (kernel documentation)."""
    size, kind = len(packet), header.kind
    ip = (packet[0] & 15) * 4 if size else 0
    if not HEADER_LENGTH <= ip <= size:
        raise Unsound("a super-packet without an IPv4 header")
    protocol = packet[9]
    if kind == vnet.TCPV4 and protocol == IPPROTO_TCP and ip + TCP_HEADER <= size:
        headers = ip + (packet[ip + 12] >> 4) * 4
        if headers < ip + TCP_HEADER:
            raise Unsound("a super-packet with a bad TCP header")
    elif kind == vnet.UDP_L4 and protocol == IPPROTO_UDP:
        headers = ip + UDP_HEADER
    else:
        raise Unsound("a super-packet of a kind that was not asked for")
    if header.gso_size == 0 or headers >= size:
        raise Unsound("a super-packet without payload")
    return _Shape(ip, headers, header.gso_size, protocol)


def _template(packet: memoryview, shape: _Shape) -> bytearray:
    """Return the headers with the TTL decremented and zeros in the fields that differ between segments."""
    head = bytearray(packet[: shape.headers])
    head[8] -= 1
    head[2:6] = bytes(4)  # tot_len, id
    head[10:12] = bytes(2)
    if shape.protocol == IPPROTO_TCP:
        head[shape.ip + 4 : shape.ip + 8] = bytes(4)  # seq
        head[shape.ip + 16 : shape.ip + 18] = bytes(2)
    else:
        head[shape.ip + 4 : shape.ip + 8] = bytes(4)  # len, check
    return head


def _constants(head: bytearray, shape: _Shape) -> tuple[int, int]:
    """Return the constant parts of the checksums: IP header, and transport header plus pseudo-header."""
    transport = sum_of(memoryview(head)[shape.ip :]) + sum_of(memoryview(head)[12:20]) + shape.protocol
    return sum_of(memoryview(head)[: shape.ip]), transport


def _flags(word: int, at: int, count: int) -> int:
    """Return the data-offset word of segment `at`: only the last keeps PSH and FIN, only the first CWR."""
    if at:
        word &= ~TCP_CWR
    return word if at == count - 1 else word & ~(TCP_FIN | TCP_PSH)


def _one_by_one(packet: memoryview, shape: _Shape, count: int) -> memoryview:
    """Build the segments in a loop; faster if they are few."""
    head = _template(packet, shape)
    ip_sum, transport_sum = _constants(head, shape)
    ident = IPHDR.unpack_from(packet)[3]
    tcp, ip = shape.protocol == IPPROTO_TCP, shape.ip
    seq = int.from_bytes(packet[ip + 4 : ip + 8]) if tcp else 0
    word = int.from_bytes(packet[ip + 12 : ip + 14]) if tcp else 0
    whole = bytearray()
    for at in range(count):
        payload = packet[shape.headers + at * shape.payload : shape.headers + (at + 1) * shape.payload]
        total, number = shape.headers + len(payload), (ident + at) & 0xFFFF
        pack_into("!HH", head, 2, total, number)
        pack_into("!H", head, 10, -(ip_sum + total + number) % MODULUS)
        length = total - ip
        rest = transport_sum + length + sum_of(payload)
        if tcp:
            place, flags = (seq + at * shape.payload) & 0xFFFFFFFF, _flags(word, at, count)
            pack_into("!I", head, ip + 4, place)
            pack_into("!H", head, ip + 12, flags)
            pack_into("!H", head, ip + 16, -(rest + place + flags - word) % MODULUS)
        else:
            pack_into("!HH", head, ip + 4, length, -(rest + length) % MODULUS or 0xFFFF)
        whole += head
        whole += payload
    return memoryview(whole)


def _by_rows(packet: memoryview, shape: _Shape, count: int) -> memoryview:
    """Build all segments at once with numpy."""
    import numpy as np

    head = _template(packet, shape)
    ip_sum, transport_sum = _constants(head, shape)
    ident, ip, step, headers = IPHDR.unpack_from(packet)[3], shape.ip, shape.payload, shape.headers
    full = count - 1  # the last one may be shorter
    last = packet[headers + full * step :]
    number, places, total = _numbers(count, step, headers, len(last))
    rest = np.empty(count, np.int64)
    rest[:full] = row_sums(packet, headers, full, step)
    rest[full] = sum_of(last)
    rest += total
    # 16-bit words, one row per packet: header lengths are multiples of 4 bytes.
    words = np.empty((count, headers // 2), ">u2")
    words[:] = np.frombuffer(head, ">u2")
    words[:, 1] = total
    idents = (number + ident) & 0xFFFF
    words[:, 2] = idents
    words[:, 5] = -(idents + total + ip_sum) % MODULUS
    at = ip // 2
    if shape.protocol == IPPROTO_TCP:
        seq = (places + int.from_bytes(packet[ip + 4 : ip + 8])) & 0xFFFFFFFF
        words[:, at + 2] = seq >> 16
        words[:, at + 3] = seq
        word = int.from_bytes(packet[ip + 12 : ip + 14])
        flags = _flags(word, 1, 3)
        words[:, at + 6] = flags
        # Flags that only the first or the last segment carries.
        first, end = _flags(word, 0, count), _flags(word, full, count)
        words[0, at + 6], words[full, at + 6] = first, end
        rest[0] += first - flags
        rest[full] += end - flags
        words[:, at + 8] = -(rest + seq + (transport_sum - ip + flags - word)) % MODULUS
    else:
        lengths = total - ip
        words[:, at + 2] = lengths
        check = -(rest + lengths + (transport_sum - ip)) % MODULUS
        check[check == 0] = 0xFFFF
        words[:, at + 3] = check
    rows = np.empty((count, headers + step), "u1")
    rows[:, :headers] = words.view("u1")
    rows[:full, headers:] = np.frombuffer(packet, "u1", full * step, headers).reshape(full, step)
    rows[full, headers : headers + len(last)] = np.frombuffer(last, "u1")
    return memoryview(rows.reshape(-1).data)[: full * (headers + step) + headers + len(last)]


@lru_cache(maxsize=64)
def _numbers(count: int, step: int, headers: int, last: int) -> "tuple[Array, Array, Array]":
    """Return for each packet its number, its payload's offset, and its length. Cached: do not modify."""
    import numpy as np

    number = np.arange(count)
    total = np.full(count, headers + step)
    total[-1] = headers + last
    return number, number * step, total
