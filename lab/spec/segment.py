"""The underlay: its segments, the nodes' places on them, and the routes between them. Pure."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import combinations

from lab.spec.node import Attachment, NodeSpec
from lab.validation import Model

__all__ = ["ONLY", "Route", "Segment", "interfaces", "routes", "unreachable"]

ONLY = "underlay"
"""The segment of a lab that has one."""


class Segment(Model):
    """A network of nodes: what they send each other on it, no router sees."""

    name: str = ONLY
    subnet: IPv4Network | None = None
    """A /24; None for the next free one from 192.168.200.0 up."""
    mtu: int | None = None
    """None for the engine's own, 1500."""
    impairment: str = ""
    """What is done to all that nodes send on it, as `lab.faults.impairment` reads it; empty for nothing."""


@dataclass(frozen=True, slots=True)
class Route:
    """The way to another segment."""

    to: IPv4Network
    via: IPv4Address


def interfaces(node: NodeSpec, networks: Mapping[str, IPv4Network]) -> tuple[IPv4Interface, ...]:
    """A node's addresses, of eth0 first, where its segments have these networks."""
    return tuple(_interface(place, networks[place.segment]) for place in node.attachments)


def _interface(place: Attachment, network: IPv4Network) -> IPv4Interface:
    return IPv4Interface((network[place.host], network.prefixlen))


def routes(
    node: NodeSpec, nodes: Sequence[NodeSpec], networks: Mapping[str, IPv4Network]
) -> tuple[Route, ...]:
    """The routes of a node to each segment that it is not on, by as few routers as possible.

    Of several ways of the same length the one by the router that the lab file names first is taken.
    """
    return tuple(
        Route(networks[segment], networks[gateway.segment][gateway.host])
        for segment, gateway in _gateways(node, nodes)
    )


def _gateways(node: NodeSpec, nodes: Sequence[NodeSpec]) -> Iterator[tuple[str, Attachment]]:
    """The segments behind routers, each with the place of the first of these on a segment of the node."""
    own = {place.segment for place in node.attachments}
    first: dict[str, Attachment | None] = dict.fromkeys(own)
    waiting = deque(place.segment for place in node.attachments)
    while waiting:
        here = waiting.popleft()
        for router in nodes:
            on = {place.segment: place for place in router.attachments}
            if not router.router or router.name == node.name or here not in on:
                continue
            for segment in on:
                if segment not in first:
                    first[segment] = first[here] or on[here]
                    waiting.append(segment)
    return ((segment, gateway) for segment, gateway in first.items() if gateway is not None)


def unreachable(nodes: Sequence[NodeSpec]) -> Collection[tuple[str, str]]:
    """Pairs of segments of nodes that do not reach each other: on no segment both, and no router between."""
    joined: list[set[str]] = []
    for router in nodes:
        if router.router:
            met = {place.segment for place in router.attachments}
            apart = [group for group in joined if not group & met]
            joined = [*apart, met.union(*(group for group in joined if group & met))]

    def reached(node: NodeSpec) -> set[str]:
        own = {place.segment for place in node.attachments}
        return own.union(*(group for group in joined if group & own))

    found = {
        (one.segment, other.segment): None
        for one, other in combinations(nodes, 2)
        if not reached(one) & reached(other)
    }
    return list(found)
