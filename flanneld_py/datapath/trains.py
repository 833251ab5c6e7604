"""Trains: packets of equal length for one peer, sent as datagrams with a single system call. Pure."""

from typing import Final

from flanneld_py.datapath.forward import Peer

__all__ = ["MOST_SEGMENTS", "Train"]

MOST_SEGMENTS: Final = 64  # UDP_MAX_SEGMENTS of linux/udp.h, before it became 128
MOST_BYTES: Final = 65507  # maximum payload of one call: an IPv4 packet less its headers


class Train:
    """Packets of `size` bytes each, though the last may be shorter; `bytes` is their total length.

    `parts` holds the data in order; each part may contain several packets that arrived together.
    """

    __slots__ = ("_closed", "_most", "bytes", "parts", "peer", "size")

    def __init__(self, peer: Peer, size: int) -> None:
        self.peer = peer
        self.size = size
        self.parts: list[memoryview] = []
        self.bytes = 0
        self._most = min(MOST_SEGMENTS, max(1, MOST_BYTES // size)) * size
        self._closed = False

    @property
    def packets(self) -> int:
        """Number of packets."""
        return -(-self.bytes // self.size)

    @property
    def joined(self) -> bool:
        """Whether any of the packets arrived as part of a super-packet."""
        return self.packets > len(self.parts)

    def fill(self, peer: Peer, data: memoryview, size: int) -> memoryview:
        """Append what fits of these packets of `size` bytes (the last may be shorter); return the rest."""
        room = self._room(peer, data, size)
        if not room:
            return data
        self.parts.append(data[:room])
        self.bytes += min(room, len(data))
        self._closed = self.bytes % self.size != 0
        return data[room:]

    def _room(self, peer: Peer, data: memoryview, size: int) -> int:
        """Return how many bytes of `data` may be appended."""
        if self._closed or self.peer != peer or size > self.size:
            return 0
        if size < self.size:  # a shorter packet would be the last one
            return size if len(data) <= size <= self._most - self.bytes else 0
        return self._most - self.bytes
