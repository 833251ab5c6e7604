"""What the udp backend's packet loop has moved and dropped: its thread counts, others read."""

from collections import Counter
from dataclasses import dataclass, field

from flanneld_py.monitor.statistics import OTHERS, Flow, Statistics

__all__ = ["Tally", "Traffic"]


class Tally:
    """Packets and bytes by the other node's address; nodes that are no peers are `OTHERS` together.

    So neither a flood from made-up addresses nor all the peers that ever were take memory.
    """

    __slots__ = ("_counts", "_left")

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {OTHERS: [0, 0]}
        self._left = Flow(0, 0)  # of nodes that were peers; apart, for another thread adds to the counts

    def know(self, address: str) -> None:
        """Count this node by itself from now on."""
        self._counts.setdefault(address, [0, 0])

    def forget(self, address: str) -> None:
        """It is no peer any more: what it has counts as the others'."""
        packets, octets = self._counts.pop(address, (0, 0))
        self._left = Flow(self._left.packets + packets, self._left.bytes + octets)

    def add(self, address: str, size: int, packets: int = 1) -> None:
        """Count packets of so many bytes together."""
        count = self._counts.get(address) or self._counts[OTHERS]
        count[0] += packets
        count[1] += size

    def flows(self) -> dict[str, Flow]:
        """What was counted so far, where there was something."""
        left = self._left
        found = {address: Flow(*count) for address, count in self._counts.copy().items()}
        others = found[OTHERS]
        found[OTHERS] = Flow(others.packets + left.packets, others.bytes + left.bytes)
        return {address: flow for address, flow in found.items() if flow.packets}


@dataclass(slots=True)
class Traffic:
    """Both directions, and packets dropped by reason."""

    sent: Tally = field(default_factory=Tally)
    received: Tally = field(default_factory=Tally)
    dropped: Counter[str] = field(default_factory=Counter)

    def know(self, address: str) -> None:
        """Count what goes to this node and comes from it by itself."""
        self.sent.know(address)
        self.received.know(address)

    def forget(self, address: str) -> None:
        """Count it with the others."""
        self.sent.forget(address)
        self.received.forget(address)

    def statistics(self) -> Statistics:
        """All of it, at this moment. For any thread."""
        return Statistics(self.sent.flows(), self.received.flows(), dict(self.dropped.copy()))
