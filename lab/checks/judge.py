"""Expected against seen: pure, and strict to the letter.

What is expected comes from the tutorial (its section in brackets) and from flannel 0.5.5's udp backend,
the third octet being whatever the lease says.
"""

import json
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv4Network

from lab.checks.facts import LOGIN_WAYS, PASSWORD, Facts, Lease, Link, Login, Minion
from lab.checks.finding import Finding

__all__ = ["addresses", "leases", "logins", "pods", "routes"]

UDP_OVERHEAD = 28
"""Bytes of outer IPv4 header (20) and UDP header (8) that the udp backend takes off the underlay's MTU."""

TUN_QUEUE = 500
"""TUN_READQ_SIZE in the kernel's drivers/net/tun.c: a TUN device's queue length, as the tutorial shows it."""

LEASE_TTL = 86400
"""Seconds; flannel's subnetTTL."""

MASQUERADE = frozenset({"-ip-masq", "--ip-masq", "-ip-masq=true", "--ip-masq=true"})


def leases(facts: Facts) -> list[Finding]:
    """Each minion has exactly one lease, inside the Network, of its own, and alive [3.7]."""
    findings = [_compare("flannel config", facts.spec.etcd_prefix, facts.spec.flannel_config, facts.config)]
    for minion in facts.minions:
        own = _leases_of(facts, minion)
        keys = "\n".join(lease.key for lease in own) or "none"
        where = f"one key {facts.spec.etcd_prefix}/subnets/SUBNET"
        alone = len(own) == 1 and own[0].subnet is not None
        findings.append(Finding("lease", minion.name, alone, where, keys))
        value = f'{{"PublicIP":"{minion.address}","PublicIPv6":null}}'
        seen = " and ".join(lease.value for lease in own) or _others(facts)
        findings.append(_compare("lease value", minion.name, value, seen))
        living = len(own) == 1 and 0 < own[0].ttl <= LEASE_TTL
        ages = " and ".join(f"{lease.ttl} s" for lease in own) or "no lease"
        findings.append(
            Finding("lease TTL", minion.name, living, f"more than 0 s, at most {LEASE_TTL} s", ages)
        )
    known = {str(minion.address) for minion in facts.minions}
    findings += [
        Finding("lease owner", lease.key, False, "a minion of the lab", lease.value)
        for lease in facts.leases
        if _public_ip(lease) not in known
    ]
    return [*findings, _subnets(facts)]


def _subnets(facts: Facts) -> Finding:
    network = facts.spec.network
    subnets = [lease.subnet for lease in facts.leases if lease.subnet is not None]
    apart = all(not a.overlaps(b) for i, a in enumerate(subnets) for b in subnets[:i])
    inside = all(subnet.subnet_of(network) for subnet in subnets)
    count = len(facts.minions)
    ok = apart and inside and len(subnets) == count
    seen = ", ".join(str(subnet) for subnet in subnets) or "none"
    return Finding("subnets", "etcd", ok, f"{count} inside {network}, none overlapping another", seen)


def addresses(facts: Facts) -> list[Finding]:
    """eth0, flannel0 and docker0 of each minion and eth0 of each pod, as their lease says [3.7, 4.1]."""
    return [finding for minion in facts.minions for finding in _addresses(facts, minion)]


def _addresses(facts: Facts, minion: Minion) -> Iterator[Finding]:
    network = facts.spec.network
    eth0 = minion.links.get("eth0")
    mtu = eth0.mtu - UDP_OVERHEAD if eth0 else None
    yield _has("eth0 address", minion.name, eth0, f"{minion.address}/{facts.underlay.prefixlen}")
    subnet = _subnet_of(facts, minion)
    if subnet is None:
        yield Finding("flannel0 address", minion.name, False, "as its lease says", "it has no lease")
        return
    flannel0, docker0 = minion.links.get("flannel0"), minion.links.get("docker0")
    gateway = subnet.network_address + 1
    yield _has("flannel0 address", minion.name, flannel0, f"{subnet.network_address}/{network.prefixlen}")
    yield _link("flannel0 MTU", minion.name, flannel0, str(mtu), lambda link: str(link.mtu))
    yield _link("flannel0 queue length", minion.name, flannel0, str(TUN_QUEUE), lambda link: str(link.queue))
    yield _link("flannel0 state", minion.name, flannel0, "UP", lambda link: "UP" if link.up else "DOWN")
    yield _has("docker0 address", minion.name, docker0, f"{gateway}/{subnet.prefixlen}")
    yield _link("docker0 MTU", minion.name, docker0, str(mtu), lambda link: str(link.mtu))
    masquerade = str(bool(MASQUERADE & set(facts.spec.flanneld_options))).lower()
    expected = (
        f"FLANNEL_NETWORK={network}\nFLANNEL_SUBNET={gateway}/{subnet.prefixlen}\n"
        f"FLANNEL_MTU={mtu}\nFLANNEL_IPMASQ={masquerade}\n"
    )
    yield _compare("subnet.env", minion.name, expected, minion.subnet_env)
    for pod in facts.pods:
        if pod.node == minion.name and pod.status != "Completed":
            link = facts.pod_links.get(pod.name, {}).get("eth0")
            yield _pod_address(pod.name, subnet, link)
            yield _link("pod eth0 MTU", pod.name, link, str(mtu), lambda link: str(link.mtu))


def _pod_address(pod: str, subnet: IPv4Network, link: Link | None) -> Finding:
    """From .2 on: .0 is flannel0's, .1 docker0's."""
    found = [IPv4Interface(address) for address in link.addresses] if link else []
    first, last = subnet.network_address + 2, subnet.broadcast_address - 1
    ok = len(found) == 1 and found[0].network == subnet and first <= found[0].ip <= last
    expected = f"{first}/{subnet.prefixlen} to {last}/{subnet.prefixlen}"
    return Finding("pod eth0 address", pod, ok, expected, _addresses_of(link))


def routes(facts: Facts) -> list[Finding]:
    """Into the overlay by exactly two routes, both the kernel's own, and no default route out of the lab."""
    findings = []
    for minion in facts.minions:
        subnet = _subnet_of(facts, minion)
        if subnet is not None:
            base, network = subnet.network_address, facts.spec.network
            expected = {
                f"{network} dev flannel0 proto kernel scope link src {base}",
                f"{subnet} dev docker0 proto kernel scope link src {base + 1}",
            }
            seen = {route for route in minion.routes if _touches(route, network)}
            findings.append(
                Finding("overlay routes", minion.name, seen == expected, _lines(expected), _lines(seen))
            )
        default = {route for route in minion.routes if route.split()[0] in {"default", "0.0.0.0/0"}}
        findings.append(Finding("default route", minion.name, not default, "none", _lines(default)))
    return findings


def _touches(route: str, network: IPv4Network) -> bool:
    words = route.split()
    target = words[1] if words[0] in {"unreachable", "blackhole", "prohibit", "throw"} else words[0]
    return target != "default" and IPv4Network(target).overlaps(network)


def pods(facts: Facts) -> list[Finding]:
    """Each pod of the lab runs, where its nodeName says; so does each that came later [4.1].

    One that is not restarted for ever may as well have done its work.
    """
    running = {pod.name: pod for pod in facts.pods}
    wanted = {pod.name: pod for pod in facts.spec.pods} | {pod.name: pod.spec for pod in facts.pods}
    findings = []
    for name, spec in wanted.items():
        pod = running.get(name)
        count = len(spec.containers)
        where = spec.node or (pod.node if pod else "any minion")
        right = [f"Running {count}/{count} on {where}"]
        if spec.restart_policy != "Always":
            right.append(f"Completed 0/{count} on {where}")
        seen = f"{pod.status} {pod.ready} on {pod.node}" if pod else "there is no such pod"
        findings.append(Finding("pod", name, seen in right, " or ".join(right), seen))
    return findings


def logins(facts: Facts) -> list[Finding]:
    """From each pod to each other's MySQL over the overlay, and it is that pod that answers [4.1].

    A login that could not be tried has failed.
    """
    tried = {(login.client, login.server, login.way): login for login in facts.logins}
    wanted = [*facts.spec.pods, *(pod.spec for pod in facts.pods)]
    names = sorted({pod.name for pod in wanted if PASSWORD in pod.environment})
    return [
        _login(client, server, way, tried.get((client, server, way)))
        for client in names
        for server in names
        if client != server
        for way in LOGIN_WAYS
    ]


def _login(client: str, server: str, way: str, login: Login | None) -> Finding:
    if login is None:
        seen = "not tried: one of the two pods does not run"
    else:
        seen = login.error or f"MySQL {login.version} on host {login.host}"
    return Finding(
        check=f"login with {way}",
        subject=f"{client} -> {server}",
        ok=login is not None and login.host == server and bool(login.version),
        expected=f"a MySQL server on host {server}",
        seen=seen,
    )


def _public_ip(lease: Lease) -> str:
    try:
        return str(json.loads(lease.value)["PublicIP"])
    except (ValueError, KeyError, TypeError):
        return ""


def _leases_of(facts: Facts, minion: Minion) -> list[Lease]:
    return [lease for lease in facts.leases if _public_ip(lease) == str(minion.address)]


def _subnet_of(facts: Facts, minion: Minion) -> IPv4Network | None:
    found = [lease.subnet for lease in _leases_of(facts, minion)]
    return found[0] if len(found) == 1 else None


def _others(facts: Facts) -> str:
    values = ", ".join(lease.value for lease in facts.leases)
    return f"no lease of this address among: {values}" if values else "no lease at all"


def _compare(check: str, subject: str, expected: str, seen: str) -> Finding:
    return Finding(check, subject, expected == seen, expected, seen)


def _has(check: str, subject: str, link: Link | None, address: str) -> Finding:
    return Finding(
        check, subject, link is not None and link.addresses == (address,), address, _addresses_of(link)
    )


def _addresses_of(link: Link | None) -> str:
    if link is None:
        return "no such device"
    return ", ".join(link.addresses) or "no address"


def _link(check: str, subject: str, link: Link | None, expected: str, read: Callable[[Link], str]) -> Finding:
    return _compare(check, subject, expected, read(link) if link is not None else "no such device")


def _lines(routes: set[str]) -> str:
    return "\n".join(sorted(routes)) or "none"
