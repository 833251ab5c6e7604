"""Devices, routes and the kernel's tables of each machine: expected against seen."""

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Interface, IPv4Network

from lab.checks.facts import Facts, Link, Minion
from lab.checks.finding import Finding, compare
from lab.checks.outlook import expected_on, masquerades, subnet_of

__all__ = ["addresses", "routes"]

MARK = re.compile(r" proto (?!kernel\b)\S+")
"""Who made a route; one that flannel makes carries no mark, one of flanneld_py its own."""


def addresses(facts: Facts) -> list[Finding]:
    """eth0, flannel's device, docker0 and each pod's eth0, as their lease says [3.7, 4.1]."""
    return [finding for minion in facts.minions for finding in _addresses(facts, minion)]


def _addresses(facts: Facts, minion: Minion) -> Iterator[Finding]:
    network = facts.spec.network
    yield _has(
        "eth0 address", minion.name, minion.links.get("eth0"), f"{minion.address}/{facts.underlay.prefixlen}"
    )
    wanted, subnet = expected_on(facts, minion), subnet_of(facts, minion)
    if subnet is None:
        device = wanted.device or "docker0"
        yield Finding(f"{device} address", minion.name, False, "as its lease says", "it has no lease")
        return
    if wanted.device:
        link = minion.links.get(wanted.device)
        yield _has(f"{wanted.device} address", minion.name, link, wanted.address)
        yield _mtu(wanted.device, minion.name, link, wanted.mtu)
        if wanted.queue is not None:
            what = f"{wanted.device} queue length"
            yield _link(what, minion.name, link, str(wanted.queue), lambda link: str(link.queue))
        yield _link(
            f"{wanted.device} state", minion.name, link, "UP", lambda link: "UP" if link.up else "DOWN"
        )
    docker0, gateway = minion.links.get("docker0"), subnet.network_address + 1
    yield _has("docker0 address", minion.name, docker0, f"{gateway}/{subnet.prefixlen}")
    yield _mtu("docker0", minion.name, docker0, wanted.mtu)
    masquerade = str(masquerades(facts, minion.name)).lower()
    text = (
        f"FLANNEL_NETWORK={network}\nFLANNEL_SUBNET={gateway}/{subnet.prefixlen}\n"
        f"FLANNEL_MTU={wanted.mtu}\nFLANNEL_IPMASQ={masquerade}\n"
    )
    yield compare("subnet.env", minion.name, text, minion.subnet_env)
    for pod in facts.pods:
        if pod.node == minion.name and pod.status != "Completed":
            link = facts.pod_links.get(pod.name, {}).get("eth0")
            yield _pod_address(pod.name, subnet, link)
            yield _mtu("pod eth0", pod.name, link, wanted.mtu)


def _pod_address(pod: str, subnet: IPv4Network, link: Link | None) -> Finding:
    """From .2 on: .0 is flannel's, .1 docker0's."""
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
    if subnet is not None and wanted.routes is not None:
        docker0 = f"{subnet} dev docker0 proto kernel scope link src {subnet.network_address + 1}"
        seen = {MARK.sub("", route) for route in minion.routes if _touches(route, facts.spec.network)}
        yield _lists("overlay routes", minion.name, {*wanted.routes, docker0}, seen)
        device = wanted.device
        if wanted.neighbours is not None:
            own = _on(device, minion.neighbours)
            yield _lists(f"{device} neighbours", minion.name, wanted.neighbours, own)
        if wanted.fdb is not None:
            own = _on(device, minion.fdb)
            old = set() if wanted.fdb_only else own - wanted.fdb
            yield _lists(f"{device} FDB", minion.name, {*wanted.fdb, *old}, own)
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


def _has(check: str, subject: str, link: Link | None, address: str) -> Finding:
    return Finding(
        check, subject, link is not None and link.addresses == (address,), address, _addresses_of(link)
    )


def _addresses_of(link: Link | None) -> str:
    if link is None:
        return "no such device"
    return ", ".join(link.addresses) or "no address"


def _mtu(device: str, subject: str, link: Link | None, mtu: int | None) -> Finding:
    return _link(f"{device} MTU", subject, link, str(mtu), lambda link: str(link.mtu))


def _link(check: str, subject: str, link: Link | None, expected: str, read: Callable[[Link], str]) -> Finding:
    return compare(check, subject, expected, read(link) if link is not None else "no such device")


def _lines(lines: Iterable[str]) -> str:
    return "\n".join(sorted(lines)) or "none"
