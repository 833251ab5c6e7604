"""A line that delays, loses, doubles, reorders and corrupts, as sch_netem does: what leaves when. Pure.

It takes the time, and chance, from its caller.
"""

import heapq
import itertools
from collections.abc import Callable

from lab.faults.impairment.model import Impairment

__all__ = ["PREFIX", "Line"]

PREFIX = 10
"""Bytes before each frame: struct virtio_net_hdr of linux/virtio_net.h."""

ETH_HLEN = 14  # linux/if_ether.h

CAPACITY = 1 << 26
"""Bytes that wait on the line. What comes when it is full is lost, as with the `limit` of sch_netem."""


class Line:
    """The frames that are under way.

    `chance` gives numbers from 0 up to 1, evenly distributed.
    """

    def __init__(self, impairment: Impairment, chance: Callable[[], float]) -> None:
        self._what = impairment
        self._chance = chance
        self._under_way: list[tuple[float, int, bytes]] = []
        self._numbers = itertools.count()
        self._size = 0

    def take(self, frame: bytes, now: float) -> None:
        """A frame, behind PREFIX bytes, comes at a time in seconds."""
        # As netem: a packet that is both doubled and lost arrives once.
        for _ in range(1 + self._happens(self._what.duplicate) - self._happens(self._what.loss)):
            self._send(frame, now)

    def _send(self, frame: bytes, now: float) -> None:
        if self._size + len(frame) > CAPACITY:
            return
        if self._happens(self._what.corrupt):
            frame = self._corrupted(frame)
        leaves = now if self._happens(self._what.reorder) else now + self._delay()
        # Numbered, so that what leaves at the same time keeps its order.
        heapq.heappush(self._under_way, (leaves, next(self._numbers), frame))
        self._size += len(frame)

    def due(self, now: float) -> list[bytes]:
        """The frames that have arrived by now, in their order."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now:
            arrived.append(heapq.heappop(self._under_way)[2])
            self._size -= len(arrived[-1])
        return arrived

    def wait(self, now: float) -> float | None:
        """Seconds until the next frame is due; None if none is under way."""
        return max(0.0, self._under_way[0][0] - now) if self._under_way else None

    def _happens(self, probability: float) -> bool:
        # No chance is drawn for what cannot happen: this is asked for every frame.
        return probability > 0 and self._chance() < probability

    def _delay(self) -> float:
        if not self._what.jitter:
            return self._what.delay
        return self._what.delay + self._what.jitter * (2 * self._chance() - 1)

    def _corrupted(self, frame: bytes) -> bytes:
        """With another bit behind the Ethernet header.

        PREFIX is emptied: where it says that a checksum is right, or still to be made, no receiver would
        notice.
        """
        first = PREFIX + ETH_HLEN
        if len(frame) <= first:
            return frame
        bit = int(self._chance() * 8 * (len(frame) - first))
        damaged = bytearray(frame)
        damaged[:PREFIX] = bytes(PREFIX)
        damaged[first + bit // 8] ^= 1 << bit % 8
        return bytes(damaged)
