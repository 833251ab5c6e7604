"""Trains of datagrams for flannel's own proxy, no faster than it takes them in.

It takes each datagram with a call of its own, from a buffer that holds two trains (net.core.rmem_default).
More than that at once, or for long at a higher rate, is lost there, and the connection inside stumbles.
Pure: the caller has the clock.
"""

from collections import deque
from typing import Final

from flanneld_py.datapath.forward import Peer
from flanneld_py.datapath.trains import Train

__all__ = ["MOST_WAITING", "Pacer"]

MOST_WAITING: Final = 500
"""Datagrams that wait for one node: as many as in flannel's device (TUN_READQ_SIZE of drivers/net/tun.c)."""


class Pacer:
    """A queue for each node. After a train nothing leaves for so many seconds a datagram.

    `each` is for a train with super-packets in it, mostly TCP's; `single` for what came one by one.
    """

    def __init__(self, each: float, single: float) -> None:
        self._each = each
        self._single = single
        self._lines: dict[str, _Line] = {}
        self._waiting: dict[str, _Line] = {}  # those that are not empty

    def put(self, peer: Peer, data: memoryview, size: int) -> int:
        """Take packets of this size, of which the last may be shorter; how many there is no place for."""
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

    def take(self, now: float) -> Train | None:
        """One that is to be sent by now, in seconds of a clock that does not go back."""
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
        """It is the last that was sent to. Those that may be sent to again, and are not, are forgotten."""
        self._lines[node] = self._lines.pop(node)
        while self._lines:
            oldest, line = next(iter(self._lines.items()))
            if line.trains or line.due > now:
                break
            del self._lines[oldest]

    def next(self) -> float | None:
        """When there will be another to take; None where none waits."""
        return min((line.due for line in self._waiting.values()), default=None)

    def clear(self) -> int:
        """Drop all that waits; how many datagrams that were."""
        dropped = sum(line.packets for line in self._waiting.values())
        for line in self._waiting.values():
            line.trains.clear()
            line.packets = 0
        self._waiting.clear()
        return dropped


class _Line:
    """What waits for one node, and when the next of it may go."""

    __slots__ = ("due", "packets", "trains")

    def __init__(self) -> None:
        self.trains: deque[Train] = deque()
        self.packets = 0
        self.due = float("-inf")

    def fill(self, train: Train, peer: Peer, data: memoryview, size: int) -> memoryview:
        """`Train.fill`, of a train that is in this line."""
        before = train.packets
        rest = train.fill(peer, data, size)
        self.packets += train.packets - before
        return rest
