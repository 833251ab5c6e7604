"""Coalesce a train of datagrams into as few packets as the kernel accepts, as GRO would. Pure.

All checksums of the joined packets have been verified, because the kernel does not check them again. A packet
that cannot be joined is passed on alone, unchanged except for its TTL; the kernel then verifies it. The rules
are those of the kernel's inet_gro_receive (net/ipv4/af_inet.c) and tcp_gro_receive (tcp_offload.c).
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from flanneld_py.datapath import vnet
from flanneld_py.datapath.packet import DONT_FRAGMENT, HEADER_LENGTH, Buffer, decrement_ttl
from flanneld_py.datapath.segment import IPPROTO_TCP, IPPROTO_UDP, TCP_FIN, TCP_HEADER, TCP_PSH, UDP_HEADER
from flanneld_py.datapath.sums import MODULUS, row_sums, sum_of
from flanneld_py.datapath.vnet import VnetHeader

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

__all__ = ["Run", "runs"]

FEWEST: Final = 3
"""Minimum number of datagrams in a train for which joint processing pays off."""

LONGEST: Final = 65535  # bytes: the maximum of tot_len in an IPv4 header
TCP_ACK: Final = 0x010
TCP_ECE: Final = 0x040
TCP_FLAGS: Final = 0x1FF
AT_END: Final = TCP_PSH | TCP_FIN
"""Flags that only the last packet of a joined run may carry."""

MOST: Final = 64
"""Maximum number of packets to join: UDP_MAX_SEGMENTS of the kernel's linux/udp.h, before it became 128."""


class Run(NamedTuple):
    """Packets that are written to the device together.

    `first` is the first packet as received. `header` is the virtio header, `parts` the data that follows it,
    with the TTL decremented. `packets` is the number of packets, `size` their total length in bytes.
    """

    first: memoryview
    header: Buffer
    parts: Sequence[Buffer]
    packets: int
    size: int


def runs(train: memoryview, size: int) -> Iterator[Run]:
    """Split a train into runs.

    Each datagram has `size` bytes, though the last may be shorter; with 0 the train is a single datagram. All
    come from one sender. A malformed packet is passed on as it is, for the caller to reject.
    """
    if size <= 0 or not train:
        yield _single(train)
        return
    while len(train) > size:
        if _is_worthwhile(train, size) and (kind := _kind(train, size)) is not None:
            yield from _Table(train, size, kind).runs()
            return
        yield _single(train[:size])
        train = train[size:]
    if len(train):
        yield _single(train)


def _single(packet: memoryview) -> Run:
    """Return a run of one packet, unchanged except for its TTL: an incorrect checksum stays incorrect."""
    sound = len(packet) >= HEADER_LENGTH and packet[8] > 0
    return Run(packet, vnet.NOTHING, [decrement_ttl(packet) if sound else packet], 1, len(packet))


def _is_worthwhile(train: memoryview, size: int) -> bool:
    """Whether enough datagrams follow and the next one has the same addresses and ports."""
    flow = slice(12, HEADER_LENGTH + 4)
    return len(train) > (FEWEST - 1) * size and train[flow] == train[size : 2 * size][flow]


class _Kind(NamedTuple):
    """What packets that may be joined share: bytes of both headers, inner protocol, no IP options."""

    headers: int
    protocol: int


def _kind(train: memoryview, size: int) -> _Kind | None:
    """Return the kind of the first packet; None if nothing can be joined to it."""
    if size < HEADER_LENGTH + UDP_HEADER or train[0] != 0x45 or train[8] == 0:
        return None
    if int.from_bytes(train[6:8]) & ~DONT_FRAGMENT or int.from_bytes(train[2:4]) != size:
        return None
    protocol = train[9]
    if protocol == IPPROTO_UDP:
        headers = HEADER_LENGTH + UDP_HEADER
    elif protocol == IPPROTO_TCP and size >= HEADER_LENGTH + TCP_HEADER:
        headers = HEADER_LENGTH + (train[HEADER_LENGTH + 12] >> 4) * 4
        if headers < HEADER_LENGTH + TCP_HEADER:
            return None
    else:
        return None
    return _Kind(headers, protocol) if headers < size else None


# Indices of 16-bit words in struct iphdr and, after it, in a transport header without options.
TOT_LEN, ID, FRAG_OFF, TTL_PROTOCOL, CHECK, SADDR = 1, 2, 3, 4, 5, 6
TRANSPORT: Final = HEADER_LENGTH // 2
SEQ, OFFSET_FLAGS, TCP_CHECK = TRANSPORT + 2, TRANSPORT + 6, TRANSPORT + 8
UDP_LEN, UDP_CHECK = TRANSPORT + 2, TRANSPORT + 3


class _Table:
    """The headers of all packets of a train whose first packet is of this kind, one row per packet."""

    def __init__(self, train: memoryview, size: int, kind: _Kind) -> None:
        import numpy as np

        self._train, self._size, self._kind = train, size, kind
        self._full, self._last = divmod(
            len(train), size
        )  # number of full packets, and bytes of a shorter last one
        self._count = self._full + (self._last > 0)
        self._rows = np.frombuffer(train, "u1", self._full * size).reshape(self._full, size)
        heads = np.zeros((self._count, kind.headers), "u1")
        heads[: self._full] = self._rows[:, : kind.headers]
        if self._last:
            end = train[self._full * size :][: kind.headers]
            heads[-1, : len(end)] = end
        self._words = heads.view(">u2").astype(np.int64)
        self._good: list[bool] = self._sound().tolist()
        self._linked: list[bool] = self._links().tolist()

    def runs(self) -> Iterator[Run]:
        """Yield all packets, joined where they continue each other."""
        begin = 0
        most = min(MOST, (LONGEST - self._kind.headers) // (self._size - self._kind.headers))
        while begin < self._count:
            end = begin + 1
            if self._good[begin]:
                limit = min(self._count, begin + most)
                while end < limit and self._linked[end - 1] and self._good[end]:
                    end += 1
            alone = end - begin == 1
            yield _single(self._packet(begin)) if alone else self._joined(begin, end)
            begin = end

    def _packet(self, at: int) -> memoryview:
        return self._train[at * self._size : (at + 1) * self._size]

    def _sound(self) -> "Array":
        """Mark the packets that are of this kind and have correct lengths and checksums."""
        import numpy as np

        words, full, kind = self._words, self._full, self._kind
        good = ~((words ^ words[0]) & _of_kind(kind)).any(1)
        totals = np.empty(self._count, np.int64)
        totals[:full] = row_sums(self._train, 0, full, self._size)
        if self._last:
            totals[full] = sum_of(self._packet(full))
        lengths = _lengths(self._count, self._size, self._last)
        # A valid IP header sums to 0, so the sum of the whole packet is that of what follows the header.
        totals += words[:, SADDR:TRANSPORT].sum(1)
        totals += lengths
        good &= (totals + (kind.protocol - HEADER_LENGTH)) % MODULUS == 0
        good &= words[:, :TRANSPORT].sum(1) % MODULUS == 0
        good &= words[:, TOT_LEN] == lengths
        good &= words[:, TTL_PROTOCOL] > 0xFF  # the caller rejects a TTL of 0
        if kind.protocol == IPPROTO_TCP:
            flags = words[:, OFFSET_FLAGS] & (TCP_FLAGS & ~AT_END & ~TCP_ECE)
            good &= flags == TCP_ACK
        else:
            # A checksum of 0 means none was computed (RFC 768), so nothing was verified.
            good &= (words[:, UDP_CHECK] != 0) & (words[:, UDP_LEN] == lengths - HEADER_LENGTH)
        if self._last and self._last <= kind.headers:
            good[-1] = False
        return np.asarray(good)

    def _links(self) -> "Array":
        """Mark each packet, except the last, that is followed by its successor in the flow."""
        import numpy as np

        words = self._words
        linked = ~((words[1:] ^ words[:-1]) & _alike(self._kind)).any(1)
        if not (words[:, FRAG_OFF] & DONT_FRAGMENT).all():
            # With DF set the identification field has no meaning (RFC 6864).
            linked &= ((words[1:, ID] - words[:-1, ID]) & 0xFFFF == 1) | (words[1:, FRAG_OFF] != 0)
        if self._kind.protocol == IPPROTO_TCP:
            seq = (words[:, SEQ] << 16) + words[:, SEQ + 1]
            linked &= (seq[1:] - seq[:-1]) & 0xFFFFFFFF == self._size - self._kind.headers
            linked &= words[:-1, OFFSET_FLAGS] & AT_END == 0
        return np.asarray(linked)

    def _joined(self, begin: int, end: int) -> Run:
        """Join packets `begin` to `end` into one super-packet."""
        import numpy as np

        first, headers, tcp = self._packet(begin), self._kind.headers, self._kind.protocol == IPPROTO_TCP
        payload = np.ascontiguousarray(self._rows[begin : min(end, self._full), headers:]).reshape(-1).data
        short = self._packet(self._full)[headers:] if end > self._full else memoryview(b"")
        size = headers + len(payload) + len(short)
        head = decrement_ttl(first[:headers])
        head[2:4] = size.to_bytes(2)
        head[10:12] = bytes(2)
        head[10:12] = (-sum_of(memoryview(head)[:HEADER_LENGTH]) % MODULUS).to_bytes(2)
        # The partial checksum that offload to a device requires: the sum of the pseudo-header.
        length = size - HEADER_LENGTH
        pseudo = (sum_of(memoryview(head)[12:HEADER_LENGTH]) + self._kind.protocol + length) % MODULUS
        check = 2 * (TCP_CHECK if tcp else UDP_CHECK)
        head[check : check + 2] = pseudo.to_bytes(2)
        if tcp:
            head[2 * OFFSET_FLAGS + 1] |= int(self._words[end - 1, OFFSET_FLAGS]) & AT_END
        else:
            head[2 * UDP_LEN : 2 * UDP_LEN + 2] = length.to_bytes(2)
        kind = vnet.TCPV4 if tcp else vnet.UDP_L4
        header = VnetHeader(
            vnet.NEEDS_CSUM, kind, headers, self._size - headers, HEADER_LENGTH, check - HEADER_LENGTH
        )
        count = end - begin
        return Run(first, header.pack(), [head, payload, short], count, size + (count - 1) * headers)


@lru_cache(maxsize=64)
def _alike(kind: _Kind) -> "Array":
    """Mask of the bits, in 16-bit words, that joined packets must have in common."""
    import numpy as np

    mask = np.full(kind.headers // 2, 0xFFFF)
    mask[[TOT_LEN, ID, CHECK]] = 0
    if kind.protocol == IPPROTO_TCP:
        mask[[SEQ, SEQ + 1, TCP_CHECK]] = 0
        mask[OFFSET_FLAGS] = 0xFFFF & ~AT_END
    else:
        mask[[UDP_LEN, UDP_CHECK]] = 0
    return mask


@lru_cache(maxsize=64)
def _of_kind(kind: _Kind) -> "Array":
    """Mask of the bits that define a kind: version, header lengths, fragmentation, protocol."""
    import numpy as np

    mask = np.zeros(kind.headers // 2, np.int64)
    mask[0] = 0xFF00
    mask[FRAG_OFF] = 0xFFFF & ~DONT_FRAGMENT
    mask[TTL_PROTOCOL] = 0x00FF
    if kind.protocol == IPPROTO_TCP:
        mask[OFFSET_FLAGS] = 0xF000
    return mask


@lru_cache(maxsize=64)
def _lengths(count: int, size: int, last: int) -> "Array":
    """Return the length of each packet of a train."""
    import numpy as np

    lengths = np.full(count, size)
    if last:
        lengths[-1] = last
    return lengths
