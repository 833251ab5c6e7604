"""Counters of the udp backend's packet loop. The loop's thread writes them; other threads read them."""

from collections import Counter
from dataclasses import dataclass, field

from flanneld_py.monitor.statistics import OTHERS, Flow, Statistics

__all__ = ["Tally", "Traffic"]


class Tally:
    """Packets and bytes by peer address; all other nodes are counted together as `OTHERS`.

    So memory use is bounded, both in a flood from forged addresses and as peers come and go over time.
    """

    __slots__ = ("_counts", "_left")

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {OTHERS: [0, 0]}
        self._left = Flow(0, 0)  # of former peers; separate, because another thread adds to the counts

    def know(self, address: str) -> None:
        """Count this node separately from now on."""
        self._counts.setdefault(address, [0, 0])

    def forget(self, address: str) -> None:
        """Stop counting this node separately; its counts are added to the others'."""
        packets, octets = self._counts.pop(address, (0, 0))
        self._left = Flow(self._left.packets + packets, self._left.bytes + octets)

    def add(self, address: str, size: int, packets: int = 1) -> None:
        """Count packets of `size` bytes in total."""
        count = self._counts.get(address) or self._counts[OTHERS]
        count[0] += packets
        count[1] += size

    def flows(self) -> dict[str, Flow]:
        """Return the counts so far, without those that are zero."""
        left = self._left
        found = {address: Flow(*count) for address, count in self._counts.copy().items()}
        others = found[OTHERS]
        found[OTHERS] = Flow(others.packets + left.packets, others.bytes + left.bytes)
        return {address: flow for address, flow in found.items() if flow.packets}


@dataclass(slots=True)
class Traffic:
    """Traffic in both directions, and dropped packets by reason."""

    sent: Tally = field(default_factory=Tally)
    received: Tally = field(default_factory=Tally)
    dropped: Counter[str] = field(default_factory=Counter)

    def know(self, address: str) -> None:
        """Count this node's traffic separately."""
        self.sent.know(address)
        self.received.know(address)

    def forget(self, address: str) -> None:
        """Count this node's traffic with the others'."""
        self.sent.forget(address)
        self.received.forget(address)

    def statistics(self) -> Statistics:
        """Take a snapshot. May be called from any thread."""
        return Statistics(self.sent.flows(), self.received.flows(), dict(self.dropped.copy()))
