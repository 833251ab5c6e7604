"""Which node holds which subnets, and so which nodes are peers at all. Pure."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import NamedTuple

__all__ = ["NodeMove", "Roster"]


class NodeMove(NamedTuple):
    """Nodes, by their address, that a change has made a peer, and that is none any more; often neither."""

    came: str | None = None
    left: str | None = None


class Roster:
    """A node is a peer for as long as it holds a subnet; it may hold several."""

    def __init__(self) -> None:
        self._nodes: dict[IPv4Network, str] = {}
        self._held: Counter[str] = Counter()

    def put(self, subnet: IPv4Network, node: str) -> NodeMove:
        """From now on the subnet is that node's."""
        before = self._nodes.get(subnet)
        if before == node:
            return NodeMove()
        came = None if node in self._held else node
        self._nodes[subnet] = node
        self._held[node] += 1
        return NodeMove(came, self._less(before))

    def remove(self, subnet: IPv4Network) -> NodeMove:
        """From now on the subnet is nobody's."""
        return NodeMove(left=self._less(self._nodes.pop(subnet, None)))

    def beyond(self, subnets: Iterable[IPv4Network]) -> tuple[IPv4Network, ...]:
        """The subnets of nodes that are not among these."""
        return tuple(self._nodes.keys() - set(subnets))

    def nodes(self) -> tuple[str, ...]:
        """All that are peers."""
        return tuple(self._held)

    def _less(self, node: str | None) -> str | None:
        """The node holds one subnet less; it, if that was the last."""
        if node is None:
            return None
        self._held[node] -= 1
        if self._held[node]:
            return None
        del self._held[node]
        return node
