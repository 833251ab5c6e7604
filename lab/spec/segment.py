"""Segments: the networks that a lab's nodes are on, and the ways between them. Pure."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_interface,
    ip_network,
)
from itertools import combinations
from typing import Literal

from lab.spec.node import Attachment, NodeSpec
from lab.validation import Model

__all__ = [
    "FAMILIES",
    "ONLY",
    "Family",
    "Interface",
    "OnLink",
    "Route",
    "Segment",
    "Subnets",
    "gateways_of",
    "hidden",
    "interfaces",
    "ours_of",
    "reaches",
    "routes",
    "unreachable",
]

ONLY = "underlay"
"""The segment of a lab that has one."""

Family = int
"""A version of IP."""

FAMILIES: tuple[Family, ...] = (4, 6)


OnLink = Literal["subnet", "gateway"]
"""`subnet`: all of it, by a route. `gateway`: its routers alone, the first of which leads to the others."""


class Segment(Model):
    """A network of nodes: what they send each other on it, no router sees."""

    name: str = ONLY
    subnet: IPv4Network | None = None
    """A /24; None for the next free one from 192.168.200.0 up."""
    ipv4: bool = True
    """Whether nodes have addresses of it. The engine has a subnet of IPv4 for each network in any case."""
    ipv6: IPv6Network | None = None
    """A /64; None where nodes have no IPv6 address on it. The engine knows nothing of it."""
    on_link: OnLink | None = None
    """Where a node has a single address (/32, /128): what it reaches without a router. None: its network."""
    mtu: int | None = None
    """None for the engine's own, 1500."""
    impairment: str = ""
    """What is done to all that nodes send on it, as `lab.faults.impairment` reads it; empty for nothing."""

    def subnets(self, given: IPv4Network | None) -> "Subnets":
        """Those that its nodes have addresses of, where the engine has given it this subnet."""
        return Subnets(given if self.ipv4 else None, self.ipv6, self.on_link)

    @property
    def as_the_engine_gives(self) -> bool:
        """Whether nodes have just the addresses that the engine gives them."""
        return self.ipv4 and self.ipv6 is None and self.on_link is None

    def has(self, family: Family) -> bool:
        """Whether its nodes have addresses of this family."""
        return self.ipv4 if family == 4 else self.ipv6 is not None


def ours_of(place: int) -> IPv6Network:
    """The lab's own IPv6 subnet for the segment at this place of the lab file, from 1.

    It is a local one (RFC 4193), the same in every lab: nothing of it ever leaves the segment.
    """
    return IPv6Network(f"fd6c:6162:0:{place:x}::/64")


@dataclass(frozen=True, slots=True)
class Subnets:
    """Those of a segment, of each family that its nodes have."""

    ipv4: IPv4Network | None = None
    ipv6: IPv6Network | None = None
    on_link: OnLink | None = None

    def of(self, family: Family) -> IPv4Network | IPv6Network | None:
        """That of one family."""
        return self.ipv4 if family == 4 else self.ipv6

    @property
    def every(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """Those that there are, IPv4's first."""
        return tuple(found for found in (self.ipv4, self.ipv6) if found is not None)

    def address(self, host: int, *, router: bool = False) -> "Interface":
        """A node's: 51 is .51, and ::51, which is 0x51."""
        single = self.is_single(router=router)
        return Interface(tuple(_interface(network, host, single=single) for network in self.every))

    def is_single(self, *, router: bool) -> bool:
        """Whether a node's address does not say what is on the link. A gateway's does."""
        return self.on_link == "subnet" or (self.on_link == "gateway" and not router)

    def is_direct(self, one: NodeSpec, other: NodeSpec) -> bool:
        """Whether two nodes on it reach each other without a router."""
        return self.on_link != "gateway" or one.router or other.router

    def __contains__(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in found for found in self.every)


@dataclass(frozen=True, slots=True)
class Interface:
    """The addresses of one of a node's interfaces: one of each family that its segment has, IPv4's first."""

    every: tuple[IPv4Interface | IPv6Interface, ...]

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """The one that the node is known by: IPv4's, if there is one."""
        return self.every[0].ip

    def of(self, family: Family) -> IPv4Address | IPv6Address | None:
        """That of one family."""
        return next((found.ip for found in self.every if found.version == family), None)


@lru_cache(maxsize=1024)  # the checks ask for those of a lab's nodes thousands of times
def _interface(
    network: IPv4Network | IPv6Network, host: int, *, single: bool
) -> IPv4Interface | IPv6Interface:
    length = network.max_prefixlen if single else network.prefixlen
    return ip_interface(f"{_host(network, host)}/{length}")


def _host(network: IPv4Network | IPv6Network, host: int) -> IPv4Address | IPv6Address:
    """A node's address; the host part is to be read in it as it is in the lab file."""
    return network[host if network.version == 4 else int(str(host), 16)]


@dataclass(frozen=True, slots=True)
class Route:
    """The way to a segment, or to a part of one that is on the link."""

    to: IPv4Network | IPv6Network
    via: IPv4Address | IPv6Address | str
    """A router, or the interface whose link it is on."""


def interfaces(node: NodeSpec, networks: Mapping[str, Subnets]) -> tuple[Interface, ...]:
    """A node's addresses, of eth0 first, where its segments have these subnets."""
    return tuple(
        networks[place.segment].address(place.host, router=node.router) for place in node.attachments
    )


def routes(node: NodeSpec, nodes: Sequence[NodeSpec], networks: Mapping[str, Subnets]) -> tuple[Route, ...]:
    """The routes of a node: to what is on a link and its addresses do not say so, and to other segments.

    These lead by as few routers as possible. Of several ways of the same length the one by the router that
    the lab file names first is taken. Each family has ways of its own, on the segments that have it.
    """
    return tuple(
        route
        for family in FAMILIES
        for route in (
            *_on_link(node, nodes, networks, family),
            *_routes(node, nodes, _of_family(networks, family)),
        )
    )


def _on_link(
    node: NodeSpec, nodes: Sequence[NodeSpec], networks: Mapping[str, Subnets], family: Family
) -> Iterator[Route]:
    """What has to be there first: the others lead by way of it."""
    for index, place in enumerate(node.attachments):
        subnets = networks[place.segment]
        network = subnets.of(family)
        if network is None or not subnets.is_single(router=node.router):
            continue
        if subnets.on_link == "subnet":
            yield Route(network, f"eth{index}")
            continue
        gateways = [_host(network, host) for host in gateways_of(place.segment, nodes)]
        yield from (Route(ip_network(gateway), f"eth{index}") for gateway in gateways)
        yield from (Route(network, gateway) for gateway in gateways[:1])


def gateways_of(segment: str, nodes: Sequence[NodeSpec]) -> Sequence[int]:
    """The host parts of the routers on a segment."""
    return [
        place.host for node in nodes if node.router for place in node.attachments if place.segment == segment
    ]


def _of_family(networks: Mapping[str, Subnets], family: Family) -> Mapping[str, IPv4Network | IPv6Network]:
    """The segments that have this family, with their subnets of it."""
    return {name: found for name, subnets in networks.items() if (found := subnets.of(family)) is not None}


def _routes(
    node: NodeSpec,
    nodes: Sequence[NodeSpec],
    networks: Mapping[str, IPv4Network | IPv6Network],
) -> Iterator[Route]:
    for segment, gateway in _gateways(node, nodes, networks):
        yield Route(networks[segment], _host(networks[gateway.segment], gateway.host))


def _gateways(
    node: NodeSpec, nodes: Sequence[NodeSpec], segments: Collection[str]
) -> Iterator[tuple[str, Attachment]]:
    """Those of the segments that are behind routers, each with the place of the first of these routers."""
    own = [place.segment for place in node.attachments if place.segment in segments]
    first: dict[str, Attachment | None] = dict.fromkeys(own)
    waiting = deque(own)
    while waiting:
        here = waiting.popleft()
        for router in nodes:
            on = {place.segment: place for place in router.attachments}
            if not router.router or router.name == node.name or here not in on:
                continue
            for segment in on:
                if segment in segments and segment not in first and not hidden(segment, here, router):
                    first[segment] = first[here] or on[here]
                    waiting.append(segment)
    return ((segment, gateway) for segment, gateway in first.items() if gateway is not None)


def hidden(segment: str, here: str, router: NodeSpec) -> bool:
    """Whether a router lets nobody who comes from one of its segments into another."""
    return segment in router.masquerade and segment != here


def reaches(node: NodeSpec, nodes: Sequence[NodeSpec], segments: Collection[str]) -> Collection[str]:
    """Those of these segments that a node's packets get to, by addresses there."""
    own = [place.segment for place in node.attachments if place.segment in segments]
    return {*own, *(segment for segment, _ in _gateways(node, nodes, segments))}


def unreachable(nodes: Sequence[NodeSpec], segments: Sequence[Segment]) -> Collection[tuple[str, str]]:
    """Pairs of segments of nodes that do not reach each other by any family of addresses.

    They are on no segment both, and there is no router between.
    """
    reached = [_reached(nodes, {item.name for item in segments if item.has(family)}) for family in FAMILIES]
    found = {
        (one.segment, other.segment): None
        for one, other in combinations(nodes, 2)
        if not any(of_nodes[one.name] & of_nodes[other.name] for of_nodes in reached)
    }
    return list(found)


def _reached(nodes: Sequence[NodeSpec], segments: Collection[str]) -> Mapping[str, set[str]]:
    """By node, those of these segments that packets get to from there."""
    joined: list[set[str]] = []

    def on(node: NodeSpec) -> set[str]:
        return {place.segment for place in node.attachments} & set(segments)

    for router in nodes:
        if router.router:
            met = on(router)
            apart = [group for group in joined if not group & met]
            joined = [*apart, met.union(*(group for group in joined if group & met))]
    return {node.name: on(node).union(*(group for group in joined if group & on(node))) for node in nodes}
