"""Devices, routes and the kernel's tables of each machine: expected against seen."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Interface, IPv4Network

from lab.backends import Expected
from lab.checks.facts import Facts, Link, Minion
from lab.checks.finding import Finding, compare
from lab.checks.outlook import expected_on, masquerades, subnet_of
from lab.checks.parse import parse_environment

__all__ = ["addresses", "routes"]

MARK = re.compile(r" proto (?!kernel\b)\S+")
"""Who made a route; one that flannel makes carries no mark, one of flanneld_py its own."""


NO_SUBNET = "that of its lease, which it does not have"
"""What is expected where neither etcd nor the machine says which subnet it has."""


def addresses(facts: Facts) -> list[Finding]:
    """eth0, flannel's device, docker0 and each pod's eth0, as their lease says [3.7, 4.1]."""
    return [finding for minion in facts.minions for finding in _addresses(facts, minion)]


def _addresses(facts: Facts, minion: Minion) -> Iterator[Finding]:
    wanted, subnet = expected_on(facts, minion), subnet_of(facts, minion)
    if minion.links is not None:
        yield from _links(facts, minion, minion.links, wanted, subnet)
    if minion.subnet_env is not None:
        yield _subnet_env(facts, minion.name, minion.subnet_env, wanted.mtu, subnet)
    for pod in facts.pods:
        if pod.node == minion.name and pod.status != "Completed" and pod.name in facts.pod_links:
            link = facts.pod_links[pod.name].get("eth0")
            yield _pod_address(pod.name, subnet, link)
            yield from _mtu("pod eth0", pod.name, link, wanted.mtu)


def _links(
    facts: Facts, minion: Minion, links: Mapping[str, Link], wanted: Expected, subnet: IPv4Network | None
) -> Iterator[Finding]:
    own = f"{minion.address}/{facts.underlay.prefixlen}"
    yield _has("eth0 address", minion.name, links.get("eth0"), own)
    if wanted.device:
        device, link = wanted.device, links.get(wanted.device)
        yield _has(f"{device} address", minion.name, link, wanted.address)
        yield from _mtu(device, minion.name, link, wanted.mtu)
        if wanted.queue is not None:
            what = f"{device} queue length"
            yield _link(what, minion.name, link, str(wanted.queue), lambda link: str(link.queue))
        yield _link(f"{device} state", minion.name, link, "UP", lambda link: "UP" if link.up else "DOWN")
    docker0, gateway = links.get("docker0"), _gateway(subnet)
    yield _has("docker0 address", minion.name, docker0, gateway)
    yield from _mtu("docker0", minion.name, docker0, wanted.mtu)


def _gateway(subnet: IPv4Network | None) -> str | None:
    """docker0's address on a machine of this subnet."""
    return f"{subnet.network_address + 1}/{subnet.prefixlen}" if subnet is not None else None


def _subnet_env(facts: Facts, minion: str, seen: str, mtu: int | None, subnet: IPv4Network | None) -> Finding:
    """As flannel 0.5.5 writes it. A value that nobody can tell is taken as it is, if there is one."""
    told = parse_environment(seen)
    values = {
        "FLANNEL_NETWORK": str(facts.spec.network),
        "FLANNEL_SUBNET": _gateway(subnet) or NO_SUBNET,
        "FLANNEL_MTU": str(mtu) if mtu is not None else told.get("FLANNEL_MTU", "that of its interface"),
        "FLANNEL_IPMASQ": str(masquerades(facts, minion)).lower(),
    }
    return compare("subnet.env", minion, "".join(f"{key}={value}\n" for key, value in values.items()), seen)


def _pod_address(pod: str, subnet: IPv4Network | None, link: Link | None) -> Finding:
    """From .2 on: .0 is flannel's, .1 docker0's."""
    if subnet is None:
        return Finding("pod eth0 address", pod, False, NO_SUBNET, _addresses_of(link))
    found = [IPv4Interface(address) for address in link.addresses] if link else []
    first, last = subnet.network_address + 2, subnet.broadcast_address - 1
    ok = len(found) == 1 and found[0].network == subnet and first <= found[0].ip <= last
    expected = f"{first}/{subnet.prefixlen} to {last}/{subnet.prefixlen}"
    return Finding("pod eth0 address", pod, ok, expected, _addresses_of(link))


def routes(facts: Facts) -> list[Finding]:
    """Into the overlay by no other routes than flannel's and docker0's, and no default route out of the lab.

    With vxlan, also the neighbours and FDB entries that say where each peer is.
    """
    return [finding for minion in facts.minions for finding in _routes(facts, minion)]


def _routes(facts: Facts, minion: Minion) -> Iterator[Finding]:
    subnet, wanted = subnet_of(facts, minion), expected_on(facts, minion)
    device = wanted.device
    if wanted.routes is not None and minion.routes is not None:
        seen = {MARK.sub("", route) for route in minion.routes if _touches(route, facts.spec.network)}
        if subnet is not None:
            docker0 = {f"{subnet} dev docker0 proto kernel scope link src {subnet.network_address + 1}"}
        else:  # whatever it is: that there is no lease is told elsewhere
            docker0 = {route for route in seen if " dev docker0 " in route}
        yield _lists("overlay routes", minion.name, wanted.routes | docker0, seen)
    if wanted.neighbours is not None and minion.neighbours is not None:
        own = _on(device, minion.neighbours)
        yield _lists(f"{device} neighbours", minion.name, wanted.neighbours, own)
    if wanted.fdb is not None and minion.fdb is not None:
        own = _on(device, minion.fdb)
        old = set() if wanted.fdb_only else own - wanted.fdb
        yield _lists(f"{device} FDB", minion.name, {*wanted.fdb, *old}, own)
    if minion.routes is not None:
        default = {route for route in minion.routes if route.split()[0] in {"default", "0.0.0.0/0"}}
        yield Finding("default route", minion.name, not default, "none", _lines(default))


def _on(device: str | None, table: Iterable[tuple[str, str]]) -> set[str]:
    return {entry for where, entry in table if where == device}


def _touches(route: str, network: IPv4Network) -> bool:
    words = route.split()
    target = words[1] if words[0] in {"unreachable", "blackhole", "prohibit", "throw"} else words[0]
    return target != "default" and IPv4Network(target).overlaps(network)


def _lists(check: str, subject: str, expected: Iterable[str], seen: Iterable[str]) -> Finding:
    return Finding(check, subject, set(expected) == set(seen), _lines(expected), _lines(seen))


def _has(check: str, subject: str, link: Link | None, address: str | None) -> Finding:
    ok = address is not None and link is not None and link.addresses == (address,)
    return Finding(check, subject, ok, address or NO_SUBNET, _addresses_of(link))


def _addresses_of(link: Link | None) -> str:
    if link is None:
        return "no such device"
    return ", ".join(link.addresses) or "no address"


def _mtu(device: str, subject: str, link: Link | None, mtu: int | None) -> Iterator[Finding]:
    """Nothing is compared where nobody can tell what it must be."""
    if mtu is not None:
        yield _link(f"{device} MTU", subject, link, str(mtu), lambda link: str(link.mtu))


def _link(check: str, subject: str, link: Link | None, expected: str, read: Callable[[Link], str]) -> Finding:
    return compare(check, subject, expected, read(link) if link is not None else "no such device")


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(sorted(lines)) or "none"
