"""Leases in etcd, compared with what machines hold."""

import json
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, ip_address
from typing import Any

from lab.checks.expected import SUBNET, leases_of, public_ip
from lab.doctor.case import Case, texts
from lab.doctor.model import Found, Layer
from lab.doctor.registry import diagnosis
from lab.observe import Lease, known
from lab.observe.parse import parse_environment

MARGIN = 60
"""Minutes before its end at which flannel renews a lease (-subnet-lease-renew-margin)."""

LATE = 120
"""Seconds that a renewal may be late."""

SHOWN = 5
"""Leases of one kind that are shown."""


def _document(lease: Lease) -> Mapping[str, Any] | None:
    """A lease's value, if it is one: an object that names an address."""
    try:
        value = json.loads(lease.value)
        ip_address(value["PublicIP"])
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, dict) else None


def _names_a_subnet(lease: Lease) -> bool:
    return lease.subnet is not None or lease.subnet6 is not None


@diagnosis("lease.bad-key", Layer.LEASE, finds="A key under `subnets/` that names no subnet")
def bad_key(case: Case) -> Iterator[Found]:
    """Daemons leave it out, with a warning each time."""
    for lease in case.seen.leases or ():
        if not _names_a_subnet(lease):
            fix = (case.delete_key(lease.key),)
            yield Found(lease.key, "this key names no subnet", (f"{lease.key}: {lease.value}",), fix)


@diagnosis("lease.bad-value", Layer.LEASE, finds="A subnet's key that holds what is no lease")
def bad_value(case: Case) -> Iterator[Found]:
    """No JSON object, or one without an address."""
    for lease in case.seen.leases or ():
        if _names_a_subnet(lease) and _document(lease) is None:
            whose = _holder(case, lease)
            what = "its value is no lease" + (f"; {whose} holds this subnet" if whose else "")
            yield Found(lease.key, what, (f"{lease.key}: {lease.value}",), (case.delete_key(lease.key),))


def _holder(case: Case, lease: Lease) -> str:
    """The machine whose subnet.env has a lease's subnet."""
    for node in case.seen.minions:
        if lease.subnet is not None and _own(case, node.name) == lease.subnet:
            return node.name
    return ""


def _own(case: Case, name: str) -> IPv4Network | None:
    env = known(case.seen.nodes[name].subnet_env)
    text = parse_environment(env.text or "").get(SUBNET[4], "") if env is not None else ""
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        return None


@diagnosis(
    "lease.another-owner",
    Layer.LEASE,
    finds="A lease of an address that no machine with flanneld has, above all of a subnet that a machine "
    "holds",
)
def another_owner(case: Case) -> Iterator[Found]:
    """Others send that subnet's packets to that address."""
    addresses = {str(node.address): node.name for node in case.seen.minions}
    strangers = []
    for lease in case.seen.leases or ():
        owner = public_ip(lease)
        if _document(lease) is None or not _names_a_subnet(lease):
            continue
        holder = _holder(case, lease)
        if owner not in addresses and holder:
            evidence = (
                f"{lease.key}: {lease.value}, TTL {_ttl(lease)}",
                f"{holder} has this subnet in its subnet.env",
            )
            yield Found(
                lease.key,
                f"{owner} has the lease of {holder}'s subnet",
                evidence,
                (case.delete_key(lease.key),),
            )
        elif owner not in addresses:
            strangers.append(lease)
        elif holder and addresses[owner] != holder:
            evidence = (f"{lease.key}: {lease.value}", f"{holder} has this subnet in its subnet.env")
            fix = (case.delete_key(lease.key), case.on(holder, "systemctl", "restart", "flanneld"))
            yield Found(lease.key, f"{addresses[owner]} has the lease of {holder}'s subnet", evidence, fix)
    if strangers:
        told = tuple(f"{it.key}: {it.value}, TTL {_ttl(it)}" for it in strangers[:SHOWN])
        more = (f"and {len(strangers) - SHOWN} more",) if len(strangers) > SHOWN else ()
        keys = [case.delete_key(lease.key) for lease in strangers[:SHOWN]]
        what = f"{len(strangers)} of the leases are of addresses that no machine with flanneld has"
        yield Found(case.key("subnets"), what, (*told, *more), keys)


def _ttl(lease: Lease) -> str:
    return "none" if lease.ttl < 0 else f"{lease.ttl} s"


@diagnosis("lease.missing", Layer.LEASE, finds="A machine with flanneld that has no lease, or several")
def missing(case: Case) -> Iterator[Found]:
    """Where etcd has answered."""
    for finding in case.failing("leases.key"):
        (name,) = finding.subject.names
        own = leases_of(case.seen, case.seen.nodes[name])
        subnet = _own(case, name)
        held = (f"its subnet.env has {subnet}",) if subnet else ()
        keys = tuple(f"{lease.key}: {lease.value}" for lease in own)
        if own:
            fix = tuple(case.delete_key(lease.key) for lease in own if lease.subnet != subnet)
            yield Found(name, f"it has {len(own)} leases", (*keys, *held), fix)
        else:
            fix = (case.lab("logs", name, "flanneld"), case.on(name, "systemctl", "restart", "flanneld"))
            nothing = f"no key {case.key('subnets', 'SUBNET')} names {case.seen.nodes[name].address}"
            yield Found(name, "it has no lease", (nothing, *held), fix)


@diagnosis(
    "lease.value", Layer.LEASE, finds="A lease that does not say what its machine's interface and device have"
)
def value(case: Case) -> Iterator[Found]:
    """The address, the backend, and with vxlan the device's MAC address."""
    for finding in case.failing("leases.value"):
        (name,) = finding.subject.names
        if len(leases_of(case.seen, case.seen.nodes[name])) == 1:
            what = "its lease does not say what its interface and its device have"
            yield Found(name, what, texts(finding), (case.on(name, "systemctl", "restart", "flanneld"),))


@diagnosis(
    "lease.backends",
    Layer.LEASE,
    finds="Leases of different backends: their machines do not reach each other",
)
def backends(case: Case) -> Iterator[Found]:
    """Only where a lease names one."""
    wanted = case.spec.backend.name
    for node in case.seen.minions:
        for lease in leases_of(case.seen, node):
            named = str((_document(lease) or {}).get("BackendType", "")) or "udp"
            if named != wanted and case.spec.backend.forms is not None and wanted != "alloc":
                evidence = (f"{lease.key}: {lease.value}", f"the configuration has {wanted}")
                fix = (case.on(node.name, "systemctl", "restart", "flanneld"),)
                yield Found(node.name, f"its lease is of the backend {named}", evidence, fix)


@diagnosis(
    "lease.permanent", Layer.LEASE, finds="A lease of a machine without an end, as a reservation has none"
)
def permanent(case: Case) -> Iterator[Found]:
    """It stays when its machine is gone."""
    for node in case.seen.minions:
        for lease in leases_of(case.seen, node):
            if lease.ttl < 0:
                evidence = (f"{lease.key}: {lease.value}, without a TTL",)
                fix = (case.delete_key(lease.key), case.on(node.name, "systemctl", "restart", "flanneld"))
                yield Found(
                    node.name, "its lease has no end: nobody gets that subnet without it", evidence, fix
                )


@diagnosis(
    "lease.near-expiry", Layer.LEASE, finds="A lease that was to be renewed, and is not: it is about to end"
)
def near_expiry(case: Case) -> Iterator[Found]:
    """flannel renews it some time before its end."""
    for node in case.seen.minions:
        margin = 60 * _margin([*case.spec.flanneld_options, *case.seen.node_spec(node.name).flanneld.options])
        for lease in leases_of(case.seen, node):
            if 0 <= lease.ttl < margin - LATE:
                seen = f"{lease.key}: TTL {lease.ttl} s; it was to be renewed when {margin} s were left"
                fix = (
                    case.lab("logs", node.name, "flanneld"),
                    case.on(node.name, "systemctl", "restart", "flanneld"),
                )
                yield Found(node.name, f"its lease ends in {lease.ttl} s", (seen,), fix)


def _margin(options: list[str]) -> int:
    """The last value of the option, in minutes; without one, flannel's own."""
    found = MARGIN
    for word, following in zip(options, [*options[1:], ""], strict=True):
        flag, equals, text = word.lstrip("-").partition("=")
        text = text if equals else following
        if word.startswith("-") and flag == "subnet-lease-renew-margin" and text.isdigit():
            found = int(text)
    return found
