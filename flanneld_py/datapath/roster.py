"""Which node holds which subnets, and hence which nodes are peers. Pure."""

from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Network
from typing import NamedTuple

__all__ = ["NodeMove", "Roster"]


class NodeMove(NamedTuple):
    """Addresses of the node that became a peer and of the one that ceased to be one; often neither."""

    came: str | None = None
    left: str | None = None


class Roster:
    """The current peers. A node is a peer as long as it holds at least one subnet."""

    def __init__(self) -> None:
        self._nodes: dict[IPv4Network, str] = {}
        self._held: Counter[str] = Counter()

    def put(self, subnet: IPv4Network, node: str) -> NodeMove:
        """Assign the subnet to a node."""
        before = self._nodes.get(subnet)
        if before == node:
            return NodeMove()
        came = None if node in self._held else node
        self._nodes[subnet] = node
        self._held[node] += 1
        return NodeMove(came, self._less(before))

    def remove(self, subnet: IPv4Network) -> NodeMove:
        """Remove the subnet's assignment."""
        return NodeMove(left=self._less(self._nodes.pop(subnet, None)))

    def beyond(self, subnets: Iterable[IPv4Network]) -> tuple[IPv4Network, ...]:
        """Return the assigned subnets that are not among these."""
        return tuple(self._nodes.keys() - set(subnets))

    def nodes(self) -> tuple[str, ...]:
        """Return the addresses of all peers."""
        return tuple(self._held)

    def _less(self, node: str | None) -> str | None:
        """Count one subnet less for the node; return the node if that was its last."""
        if node is None:
            return None
        self._held[node] -= 1
        if self._held[node]:
            return None
        del self._held[node]
        return node
