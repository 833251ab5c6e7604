"""What the udp backend's packet loop has moved and dropped: its thread counts, others read."""

from collections import Counter
from dataclasses import dataclass, field

from flanneld_py.backend import Flow, Statistics

__all__ = ["Tally", "Traffic"]


class Tally:
    """Packets and bytes by the other node's address; nodes that are not known are "" together.

    So a flood from made-up addresses takes no memory.
    """

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {"": [0, 0]}

    def know(self, address: str) -> None:
        """Count this node by itself from now on."""
        self._counts.setdefault(address, [0, 0])

    def add(self, address: str, size: int, packets: int = 1) -> None:
        """Count packets of so many bytes together."""
        count = self._counts.get(address) or self._counts[""]
        count[0] += packets
        count[1] += size

    def flows(self) -> dict[str, Flow]:
        """What was counted so far, where there was something."""
        return {address: Flow(*count) for address, count in list(self._counts.items()) if count[0]}


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

    def statistics(self) -> Statistics:
        """All of it, at this moment. For any thread."""
        return Statistics(self.sent.flows(), self.received.flows(), dict(self.dropped))
