"""No routes lead into the overlay but flannel's and docker0's, and none leads out of the lab."""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

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
    needs={*NEEDS, Topic.ROUTES},
)
def overlay_routes(seen: Observation) -> Iterator[Comparison]:
    """All routes into the overlay, and no others."""
    for node in seen.minions:
        routes, wanted, subnet = known(node.routes), expected_on(seen, node).routes, subnet_of(seen, node)
        if wanted is None or routes is None:
            continue
        found = {MARK.sub("", route) for route in routes if _touches(route, seen.spec.network)}
        if not follows_lease(seen, node):  # docker0 is not there, or where the lab file puts it
            found = {route for route in found if " dev docker0 " not in route}
            docker0: set[str] = set()
        elif subnet is not None:
            docker0 = {f"{subnet} dev docker0 proto kernel scope link src {subnet.network_address + 1}"}
        else:  # accept any: the missing lease is reported elsewhere
            docker0 = {route for route in found if " dev docker0 " in route}
        yield equal(Subject.node(node.name), _lines(wanted | docker0), _lines(found))


def _touches(route: str, network: IPv4Network) -> bool:
    words = route.split()
    target = words[1] if words[0] in {"unreachable", "blackhole", "prohibit", "throw"} else words[0]
    return target != "default" and IPv4Network(target).overlaps(network)


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
        wanted, found = expected_on(seen, node), known(node.neighbours)
        if wanted.neighbours is not None and found is not None:
            own = _on(wanted.device, found)
            subject = Subject.node(node.name, wanted.device or "")
            yield equal(subject, _lines(wanted.neighbours), _lines(own))


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
        wanted, found = expected_on(seen, node), known(node.fdb)
        if wanted.fdb is not None and found is not None:
            own = _on(wanted.device, found)
            old = set() if wanted.fdb_only else own - wanted.fdb
            subject = Subject.node(node.name, wanted.device or "")
            yield equal(subject, _lines({*wanted.fdb, *old}), _lines(own))


def _on(device: str | None, table: Iterable[tuple[str, str]]) -> set[str]:
    return {entry for where, entry in table if where == device}


@check(
    "routes.default",
    "default route",
    layer=Layer.ROUTE,
    on="minion",
    expects="none: nothing leaves the lab",
    needs={Topic.ROUTES},
)
def default_route(seen: Observation) -> Iterator[Comparison]:
    """Nothing leads out of the lab."""
    for node in seen.minions:
        routes = known(node.routes)
        if routes is not None:
            found = [route for route in routes if route.split()[0] in {"default", "0.0.0.0/0"}]
            yield equal(Subject.node(node.name), Items(()), _lines(found))
