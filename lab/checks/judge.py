"""Expected against seen: pure, and strict to the letter.

What is expected comes from the tutorial (its section in brackets) and from genuine flannels, the third octet
being whatever the lease says.
"""

from collections.abc import Iterator, Sequence

from lab.backends import Backend
from lab.checks.facts import LOGIN_WAYS, PASSWORD, Facts, Lease, Login, Ping
from lab.checks.finding import Finding, compare
from lab.checks.outlook import expected_on, leases_of, masquerades, public_ip

__all__ = ["leases", "logins", "pings", "pods", "probes", "services", "silences"]

LEASE_TTL = 86400
"""Seconds; flannel's subnetTTL."""

NOT_TRIED = "not tried: one of the two pods does not run"

TTL = 64
"""Of a packet that a pod sends: the kernel's default (ip_default_ttl)."""


def silences(facts: Facts) -> list[Finding]:
    """What could not be looked at, and so is not compared: shown only when there is something."""
    return [
        Finding("machine", item.machine, False, f"an answer to: {item.question}", item.why)
        if item.question
        else Finding("machine", item.machine, False, "it runs and answers", item.why)
        for item in facts.silences
    ]


def services(facts: Facts) -> list[Finding]:
    """Each service that a machine's role asks for runs."""
    return [
        Finding(f"{service.unit} service", machine, service.ok, "active", service.describe())
        for machine, found in facts.services.items()
        for service in found
    ]


def leases(facts: Facts) -> list[Finding]:
    """Each minion has exactly one lease, inside the Network, of its own, and alive [3.7]."""
    prefix = facts.spec.etcd_prefix
    findings: list[Finding] = []
    if facts.config is not None:
        findings.append(compare("flannel config", prefix, facts.spec.flannel_config, facts.config))
    if facts.leases is not None:
        findings += _leases(facts, facts.leases)
    return findings


def _leases(facts: Facts, found: Sequence[Lease]) -> Iterator[Finding]:
    for minion in facts.minions:
        own = leases_of(facts, minion)
        keys = "\n".join(lease.key for lease in own) or "none"
        where = f"one key {facts.spec.etcd_prefix}/subnets/SUBNET"
        alone = len(own) == 1 and own[0].subnet is not None
        yield Finding("lease", minion.name, alone, where, keys)
        value = expected_on(facts, minion).value
        if value is not None:
            seen = " and ".join(lease.value for lease in own) or _others(found)
            yield compare("lease value", minion.name, value, seen)
        living = len(own) == 1 and 0 < own[0].ttl <= LEASE_TTL
        ages = " and ".join(f"{lease.ttl} s" for lease in own) or "no lease"
        yield Finding("lease TTL", minion.name, living, f"more than 0 s, at most {LEASE_TTL} s", ages)
    known = {str(minion.address) for minion in facts.minions}
    for lease in found:
        if public_ip(lease) not in known:
            yield Finding("lease owner", lease.key, False, "a minion of the lab", lease.value)
    yield _subnets(facts, found)


def _subnets(facts: Facts, found: Sequence[Lease]) -> Finding:
    network = facts.spec.network
    subnets = [lease.subnet for lease in found if lease.subnet is not None]
    apart = all(not a.overlaps(b) for i, a in enumerate(subnets) for b in subnets[:i])
    inside = all(subnet.subnet_of(network) for subnet in subnets)
    count = len(facts.minions)
    ok = apart and inside and len(subnets) == count
    seen = ", ".join(str(subnet) for subnet in subnets) or "none"
    return Finding("subnets", "etcd", ok, f"{count} inside {network}, none overlapping another", seen)


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
        finding
        for client in names
        for server in names
        if client != server
        for way in LOGIN_WAYS
        for finding in (
            _login(client, server, way, tried.get((client, server, way)), _untried(facts, client)),
            *_source(facts, tried.get((client, server, way))),
        )
    ]


def _source(facts: Facts, login: Login | None) -> list[Finding]:
    """With -ip-masq the server sees the client pod's own address; else Docker has put the machine's there."""
    running = {pod.name: pod for pod in facts.pods}
    client = running.get(login.client) if login is not None else None
    if login is None or login.error or client is None or not masquerades(facts, client.node):
        return []
    subject = f"{login.client} -> {login.server}"
    return [compare(f"source with {login.way}", subject, str(client.address), login.source)]


def pings(facts: Facts) -> list[Finding]:
    """From each pod that runs to each other, with the TTL that the way there leaves."""
    node = {pod.name: pod.node for pod in facts.pods}
    backend = facts.spec.backend
    found = []
    for ping in facts.pings:
        apart = node.get(ping.client) != node.get(ping.server)
        if apart and not backend.delivers:
            continue
        ttl = _ttl(backend) if apart else TTL
        found.append(_ping(ping, ttl))
    return found


def probes(facts: Facts) -> list[Finding]:
    """From each minion to each other one, the way of a container's packets, with the TTL that it leaves."""
    backend = facts.spec.backend
    tried = {(ping.client, ping.server): ping for ping in facts.probes}
    names = [minion.name for minion in facts.minions] if backend.delivers else []
    return [
        _ping(
            tried.get((client, server), Ping(client, server, None, "not tried")),
            _ttl(backend),
            "overlay probe",
        )
        for client in names
        for server in names
        if client != server
    ]


def _ttl(backend: Backend) -> int | None:
    """What is left of it on the way to another machine; None where nobody can tell."""
    return TTL - backend.hops if backend.hops is not None else None


def _ping(ping: Ping, ttl: int | None, check: str = "ping") -> Finding:
    ok = ping.ttl is not None and ttl in {None, ping.ttl}
    expected = "an answer" if ttl is None else f"an answer with TTL {ttl}"
    seen = ping.error if ping.ttl is None else f"an answer with TTL {ping.ttl}"
    return Finding(check, f"{ping.client} -> {ping.server}", ok, expected, seen)


def _untried(facts: Facts, client: str) -> str:
    """Why a login from this pod was not tried, if it was not."""
    node = {pod.name: pod.node for pod in facts.pods}.get(client, "")
    silent = {item.machine for item in facts.silences if not item.question}
    return f"not tried: {node} does not answer" if node in silent else NOT_TRIED


def _login(client: str, server: str, way: str, login: Login | None, untried: str) -> Finding:
    seen = untried if login is None else login.error or f"MySQL {login.version} on host {login.host}"
    return Finding(
        check=f"login with {way}",
        subject=f"{client} -> {server}",
        ok=login is not None and login.host == server and bool(login.version),
        expected=f"a MySQL server on host {server}",
        seen=seen,
    )


def _others(found: Sequence[Lease]) -> str:
    values = ", ".join(lease.value for lease in found)
    return f"no lease of this address among: {values}" if values else "no lease at all"
