"""Packets of one length for one node, that go as a train of datagrams with one call. Pure."""

from typing import Final

from flanneld_py.datapath.forward import Peer

__all__ = ["Train"]

MOST_SEGMENTS: Final = 64  # UDP_MAX_SEGMENTS of linux/udp.h, before it became 128
MOST_BYTES: Final = 65507  # of the datagrams of one call: what an IPv4 packet takes beside its headers


class Train:
    """Packets of `size` bytes, of which the last may have fewer, and `bytes` in all.

    `parts` are what they are made of, one right after the other: of packets that came at different times.
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
        """How many."""
        return -(-self.bytes // self.size)

    @property
    def joined(self) -> bool:
        """Whether some of them came as one, and not all one by one."""
        return self.packets > len(self.parts)

    def fill(self, peer: Peer, data: memoryview, size: int) -> memoryview:
        """Take in those of these packets, of this size but for the last, that go with it; the rest."""
        room = self._room(peer, data, size)
        if not room:
            return data
        self.parts.append(data[:room])
        self.bytes += min(room, len(data))
        self._closed = self.bytes % self.size != 0
        return data[room:]

    def _room(self, peer: Peer, data: memoryview, size: int) -> int:
        """In bytes."""
        if self._closed or self.peer != peer or size > self.size:
            return 0
        if size < self.size:  # it would be the last
            return size if len(data) <= size <= self._most - self.bytes else 0
        return self._most - self.bytes
