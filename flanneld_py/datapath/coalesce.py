"""A train of datagrams into as few packets as the kernel takes: what GRO would make of them. Pure.

Whatever is joined has had all its checksums verified, because the kernel does not look at them again. What
cannot be joined is handed on by itself and untouched but for its TTL; then the kernel verifies it.
As the kernel's own inet_gro_receive of net/ipv4/af_inet.c, tcp_gro_receive of tcp_offload.c.
"""

from collections.abc import Iterator, Sequence
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
"""Datagrams of a train for which it pays to look at them together."""

LONGEST: Final = 65535  # bytes: what tot_len of an IPv4 header can say
TCP_ACK: Final = 0x010
TCP_ECE: Final = 0x040
TCP_FLAGS: Final = 0x1FF
JOINED: Final = (TCP_ACK, TCP_ACK | TCP_ECE)
"""Flags with which segments are joined."""

AT_END: Final = TCP_PSH | TCP_FIN
"""Flags that the last of the joined may have on top."""

MOST: Final = 64
"""Packets that are joined: UDP_MAX_SEGMENTS of the kernel's linux/udp.h, before it became 128."""


class Run(NamedTuple):
    """Packets that are written to the device together.

    `first` is the first of them as it was received. `header` is the virtio header, `parts` what follows it,
    with a lower TTL. `packets` are how many they are, `size` the bytes of all.
    """

    first: memoryview
    header: bytes
    parts: Sequence[Buffer]
    packets: int
    size: int


def runs(train: memoryview, size: int) -> Iterator[Run]:
    """What is in a train of datagrams of `size` bytes each, of which the last may be shorter; 0: just one.

    All are of one sender. What is no sound packet comes as it is, for somebody else to refuse.
    """
    if size <= 0:
        size = len(train)
    while len(train) > size:
        done = 0
        if _is_worthwhile(train, size) and (kind := _kind(train, size)) is not None:
            for run in _Table(train, size, kind).runs():
                yield run
                done += run.packets
        if done == 0:
            yield _single(train[:size])
            done = 1
        train = train[done * size :]
    if len(train):
        yield _single(train)


def _single(packet: memoryview) -> Run:
    """Untouched but for the TTL: a checksum that was wrong still is."""
    sound = len(packet) >= HEADER_LENGTH and packet[8] > 0
    return Run(packet, vnet.NOTHING, [decrement_ttl(packet) if sound else packet], 1, len(packet))


def _is_worthwhile(train: memoryview, size: int) -> bool:
    """Whether there are some more, and the next has the same addresses and ports."""
    flow = slice(12, HEADER_LENGTH + 4)
    return len(train) > (FEWEST - 1) * size and train[flow] == train[size : 2 * size][flow]


class _Kind(NamedTuple):
    """Of packets that may be joined: bytes of both headers, and the inner protocol. None has IP options."""

    headers: int
    protocol: int


def _kind(train: memoryview, size: int) -> _Kind | None:
    """Of the first packet, if more like it may follow."""
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


# The places of 16-bit words: of struct iphdr, and of what follows it where that has no options.
TOT_LEN, ID, FRAG_OFF, CHECK, SADDR = 1, 2, 3, 5, 6
TRANSPORT: Final = HEADER_LENGTH // 2
SEQ, OFFSET_FLAGS, TCP_CHECK = TRANSPORT + 2, TRANSPORT + 6, TRANSPORT + 8
UDP_LEN, UDP_CHECK = TRANSPORT + 2, TRANSPORT + 3


class _Table:
    """The headers of all packets of a train that begins with one of this kind; a row for each."""

    def __init__(self, train: memoryview, size: int, kind: _Kind) -> None:
        import numpy as np

        self._train, self._size, self._kind = train, size, kind
        self._full, self._last = divmod(
            len(train), size
        )  # packets of `size` bytes, bytes of a shorter last one
        self._count = self._full + (self._last > 0)
        heads = np.zeros((self._count, kind.headers), "u1")
        rows = np.frombuffer(train, "u1", self._full * size).reshape(self._full, size)
        heads[: self._full] = rows[:, : kind.headers]
        if self._last:
            end = train[self._full * size :][: kind.headers]
            heads[-1, : len(end)] = end
        self._words = heads.view(">u2").astype(np.int64)
        self._good: list[bool] = (self._sound() & self._alike()).tolist()
        self._linked: list[bool] = self._links().tolist()

    def runs(self) -> Iterator[Run]:
        """The runs that it begins with, until a packet that belongs to none."""
        begin = 0
        most = min(MOST, (LONGEST - self._kind.headers) // (self._size - self._kind.headers))
        while begin < self._count and self._good[begin]:
            end = begin + 1
            limit = min(self._count, begin + most)
            while end < limit and self._good[end] and self._linked[end - 1]:
                end += 1
            alone = end - begin == 1
            yield _single(self._packet(begin)) if alone else self._joined(begin, end)
            begin = end

    def _packet(self, at: int) -> memoryview:
        return self._train[at * self._size : (at + 1) * self._size]

    def _sound(self) -> "Array":
        """Whose lengths are as they say, and whose checksums are right."""
        import numpy as np

        words, full, kind = self._words, self._full, self._kind
        lengths = np.full(self._count, self._size)
        totals = np.empty(self._count, np.int64)
        totals[:full] = row_sums(self._train, 0, full, self._size)
        if self._last:
            lengths[full] = self._last
            totals[full] = sum_of(self._packet(full))
        # The sum of a sound IP header is 0, so that of the whole packet is that of what follows the header.
        headers_right = words[:, :TRANSPORT].sum(1) % MODULUS == 0
        pseudo = words[:, SADDR:TRANSPORT].sum(1) + (kind.protocol - HEADER_LENGTH) + lengths
        sound = (words[:, TOT_LEN] == lengths) & headers_right & ((totals + pseudo) % MODULUS == 0)
        sound &= lengths > kind.headers
        if kind.protocol == IPPROTO_UDP:
            # A checksum of 0 says that there is none (RFC 768): then nothing was verified.
            sound &= (words[:, UDP_CHECK] != 0) & (words[:, UDP_LEN] == lengths - HEADER_LENGTH)
        return np.asarray(sound)

    def _alike(self) -> "Array":
        """Who has the first one's headers where they must not differ."""
        import numpy as np

        words, tcp = self._words, self._kind.protocol == IPPROTO_TCP
        same = words == words[0]
        same[:, [TOT_LEN, ID, CHECK]] = True
        same[:, [SEQ, SEQ + 1, OFFSET_FLAGS, TCP_CHECK] if tcp else [UDP_LEN, UDP_CHECK]] = True
        alike = same.all(1)
        if tcp:
            base = words[0, OFFSET_FLAGS] & ~AT_END
            if base & TCP_FLAGS not in JOINED:
                return np.zeros(self._count, bool)
            alike &= words[:, OFFSET_FLAGS] & ~AT_END == base
        return np.asarray(alike)

    def _links(self) -> "Array":
        """Which packet but the last one is followed by that which comes next in its flow."""
        import numpy as np

        words = self._words
        linked = np.ones(self._count - 1, bool)
        if not words[0, FRAG_OFF] & DONT_FRAGMENT:  # with DF the identification means nothing (RFC 6864)
            linked &= (words[1:, ID] - words[:-1, ID]) & 0xFFFF == 1
        if self._kind.protocol == IPPROTO_TCP:
            seq = words[:, SEQ] << 16 | words[:, SEQ + 1]
            linked &= (seq[1:] - seq[:-1]) & 0xFFFFFFFF == self._size - self._kind.headers
            linked &= words[:-1, OFFSET_FLAGS] & AT_END == 0
        return linked

    def _joined(self, begin: int, end: int) -> Run:
        """These packets as one."""
        first, headers, tcp = self._packet(begin), self._kind.headers, self._kind.protocol == IPPROTO_TCP
        payloads = [self._packet(at)[headers:] for at in range(begin, end)]
        size = sum(map(len, payloads)) + headers
        head = decrement_ttl(first[:headers])
        head[2:4] = size.to_bytes(2)
        head[10:12] = bytes(2)
        head[10:12] = (-sum_of(memoryview(head)[:HEADER_LENGTH]) % MODULUS).to_bytes(2)
        # What the device, which this seems to be left to, expects there: the sum of the pseudo-header.
        length = size - HEADER_LENGTH
        pseudo = (sum_of(memoryview(head)[12:HEADER_LENGTH]) + self._kind.protocol + length) % MODULUS
        check = 2 * (TCP_CHECK if tcp else UDP_CHECK)
        head[check : check + 2] = pseudo.to_bytes(2)
        if tcp:
            head[2 * OFFSET_FLAGS + 1] |= int(self._words[end - 1, OFFSET_FLAGS]) & AT_END
        else:
            head[2 * UDP_LEN : 2 * UDP_LEN + 2] = length.to_bytes(2)
        kind, offset = (vnet.TCPV4, check - HEADER_LENGTH) if tcp else (vnet.UDP_L4, check - HEADER_LENGTH)
        header = VnetHeader(vnet.NEEDS_CSUM, kind, headers, self._size - headers, HEADER_LENGTH, offset)
        total = size + (end - begin - 1) * headers
        return Run(first, header.pack(), [head, *payloads], end - begin, total)
