"""Pacing of datagrams for flannel's own proxy, so that they are not sent faster than it can receive them.

That proxy reads each datagram with its own system call, from a buffer that holds two trains
(net.core.rmem_default). A larger burst, or a sustained higher rate, overflows the buffer, and the connections
inside stall. Pure: the caller supplies the clock.
"""

from collections import deque
from typing import Final

from flanneld_py.datapath.forward import Peer
from flanneld_py.datapath.trains import Train

__all__ = ["MOST_WAITING", "Pacer"]

MOST_WAITING: Final = 500
"""Maximum datagrams queued per node, as in flannel's device (TUN_READQ_SIZE of drivers/net/tun.c)."""


class Pacer:
    """A queue per node. After each train the node gets a pause proportional to the train's datagrams.

    The pause in seconds per datagram is `each` for a train that contains super-packets, mostly TCP's, and
    `single` for packets that arrived singly.
    """

    def __init__(self, each: float, single: float) -> None:
        self._each = each
        self._single = single
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[str, _Line] = {}  # the queues that are not empty

    def put(self, peer: Peer, data: memoryview, size: int) -> int:
        """Queue packets of this size (the last may be shorter); return how many did not fit."""
        line = self._lines.get(peer.node)
        if line is None:
            line = self._lines[peer.node] = _Line()
        self._waiting[peer.node] = line
        if line.trains:
            data = line.fill(line.trains[-1], peer, data, size)
        while data and line.packets < MOST_WAITING:
            line.trains.append(Train(peer, size))
            data = line.fill(line.trains[-1], peer, data, size)
        return -(-len(data) // size)

    @property
    def pauses(self) -> tuple[float, float]:
        """Seconds per datagram: of a super-packet, and of one that arrived singly."""
        return self._each, self._single

    def due(self, node: str) -> float | None:
        """When the node may be sent a train, however long ago; None while others wait for it."""
        if node in self._waiting:
            return None
        line = self._lines.get(node)
        return float("-inf") if line is None else line.due

    def take(self, now: float) -> Train | None:
        """Return a train that is due at `now`, in seconds of a monotonic clock; None if none is."""
        for node, line in self._waiting.items():
            if line.due <= now:
                train = line.trains.popleft()
                line.packets -= train.packets
                line.due = now + train.packets * (self._each if train.joined else self._single)
                if not line.trains:
                    del self._waiting[node]
                self._used(node, now)
                return train
        return None

    def _used(self, node: str, now: float) -> None:
        """Mark the node as most recently used; forget nodes whose queue is empty and whose pause is over."""
        self._lines[node] = self._lines.pop(node)
        while self._lines:
            oldest, line = next(iter(self._lines.items()))
            if line.trains or line.due > now:
                break
            del self._lines[oldest]

    def next(self) -> float | None:
        """Return when the next train is due; None if nothing is queued."""
        return min((line.due for line in self._waiting.values()), default=None)

    def clear(self) -> int:
        """Drop everything queued; return the number of datagrams."""
        dropped = sum(line.packets for line in self._waiting.values())
        for line in self._waiting.values():
            line.trains.clear()
            line.packets = 0
        self._waiting.clear()
        return dropped


class _Line:
    """The queue of one node, and when its next train is due."""

    __slots__ = ("due", "packets", "trains")

    def __init__(self) -> None:
        self.trains: deque[Train] = deque()
        self.packets = 0
        self.due = float("-inf")

    def fill(self, train: Train, peer: Peer, data: memoryview, size: int) -> memoryview:
        """Call `Train.fill` on a train of this queue, keeping the packet count up to date."""
        before = train.packets
        rest = train.fill(peer, data, size)
        self.packets += train.packets - before
        return rest
