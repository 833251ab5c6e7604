"""No routes lead into the overlay but flannel's and docker0's, and none leads out of the lab."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from lab.checks.expected import NEEDS, expected_on, follows_lease, subnet_of
from lab.checks.finding import Comparison, Subject, equal
from lab.checks.registry import Layer, check
from lab.checks.values import Items
from lab.observe import Observation, Topic, known

MARK = re.compile(r" proto (?!kernel\b)\S+")
"""The mark of what made a route: flannel's routes carry none, those of flanneld_py its own."""


def _lines(lines: Iterable[str]) -> Items:
    return Items(tuple(sorted(lines)))


@check(
    "routes.overlay",
    "overlay routes",
    layer=Layer.ROUTE,
    on="minion",
    expects="`10.2.X.0/24 dev docker0 ... src 10.2.X.1` and these, no other into the overlay. udp: "
    "`10.2.0.0/16 dev flannel0`. vxlan, for each peer: `10.2.Y.0/24 via 10.2.Y.0 dev flannel.1 onlink`, with "
    "flannel before 0.9 one for the Network. host-gw and `DirectRouting`, for each peer: `10.2.Y.0/24 via "
    "ADDRESS dev eth0`, with a genuine flannel's ipip `onlink`. wireguard: `10.2.Y.0/24 dev flannel-wg scope "
    "link` for each peer, with a genuine "
    "flannel one for the Network. ipip, for each peer: `10.2.Y.0/24 via ADDRESS dev flannel.ipip onlink`. "
    "The mark of what made a route (`proto`) is not compared",
    needs={*NEEDS, Topic.ROUTES, Topic.ROUTES6},
)
def overlay_routes(seen: Observation) -> Iterator[Comparison]:
    """All routes into the overlay, and no others."""
    for node in seen.minions:
        found: set[str] = set()
        wanted: set[str] = set()
        sides = expected_on(seen, node).sides
        tables = {4: known(node.routes), 6: known(node.routes6)}
        if any(side.routes is None or tables[side.family] is None for side in sides):
            continue
        for side in sides:
            there = _into(tables[side.family] or (), seen.spec.networks[side.family])
            own = {route for route in there if " dev docker0 " in route}
            subnet = subnet_of(seen, node, side.family)
            if not follows_lease(seen, node):  # docker0 is not there, or where the lab file puts it
                there, own = there - own, set()
            elif subnet is not None:  # without a lease accept any: that it is missing is told elsewhere
                own = {_of_docker0(subnet)}
                there.discard(f"{subnet} dev docker0")  # a second one, which Docker adds to a docker0 of IPv6
            found |= there
            wanted |= own | (side.routes or frozenset())
        yield equal(Subject.node(node.name), _lines(wanted), _lines(found))


def _into(routes: Iterable[str], network: IPv4Network | IPv6Network) -> set[str]:
    return {MARK.sub("", route) for route in routes if _touches(route, network)}


def _of_docker0(subnet: IPv4Network | IPv6Network) -> str:
    """The one that the kernel makes for docker0's address; `ip -6 route` names neither scope nor source."""
    source = f" scope link src {subnet.network_address + 1}" if subnet.version == 4 else ""
    return f"{subnet} dev docker0 proto kernel{source}"


def _touches(route: str, network: IPv4Network | IPv6Network) -> bool:
    words = route.split()
    target = words[1] if words[0] in {"unreachable", "blackhole", "prohibit", "throw"} else words[0]
    return target != "default" and ip_network(target).overlaps(network)


@check(
    "overlay.neighbours",
    "{part} neighbours",
    layer=Layer.ROUTE,
    part="DEV",
    on="minion",
    expects="with vxlan, for each peer: `10.2.Y.0` at its lease's MAC, and no other (not with flannel "
    "before 0.9, which looks them up)",
    needs={*NEEDS, Topic.NEIGHBOURS},
)
def neighbours(seen: Observation) -> Iterator[Comparison]:
    """The Ethernet address of each peer's device."""
    for node in seen.minions:
        found = known(node.neighbours)
        for side in expected_on(seen, node).sides if found is not None else ():
            if side.neighbours is not None:
                subject = Subject.node(node.name, side.device or "")
                yield equal(subject, _lines(side.neighbours), _lines(_on(side.device, found or ())))


@check(
    "overlay.fdb",
    "{part} FDB",
    layer=Layer.ROUTE,
    part="DEV",
    on="minion",
    expects="with vxlan, for each peer: its lease's MAC at its address. No other; a genuine flannel may "
    "keep the MAC that a peer had before it was rebooted",
    needs={*NEEDS, Topic.FDB},
)
def fdb(seen: Observation) -> Iterator[Comparison]:
    """The machine that has each of those Ethernet addresses."""
    for node in seen.minions:
        expected, found = expected_on(seen, node), known(node.fdb)
        for side in expected.sides if found is not None else ():
            if side.fdb is not None:
                own = _on(side.device, found or ())
                old = set() if expected.fdb_only else own - side.fdb
                yield equal(Subject.node(node.name, side.device or ""), _lines(side.fdb | old), _lines(own))


def _on(device: str | None, table: Iterable[tuple[str, str]]) -> set[str]:
    return {entry for where, entry in table if where == device}


@check(
    "routes.default",
    "default route",
    layer=Layer.ROUTE,
    on="minion",
    expects="none: nothing leaves the lab",
    needs={Topic.ROUTES, Topic.ROUTES6},
)
def default_route(seen: Observation) -> Iterator[Comparison]:
    """Nothing leads out of the lab."""
    for node in seen.minions:
        routes = known(node.routes)
        if routes is not None:
            every = [*routes, *(known(node.routes6) or ())]
            found = [route for route in every if route.split()[0] in {"default", "0.0.0.0/0", "::/0"}]
            yield equal(Subject.node(node.name), Items(()), _lines(found))
