"""Subnets: none is left, or they overlap."""

import json
from collections.abc import Iterator
from ipaddress import IPv4Address
from itertools import combinations

from lab.checks.expected import public_ip
from lab.doctor.case import Case
from lab.doctor.model import Found, Layer, Severity
from lab.doctor.registry import diagnosis

SHOWN = 5
"""Leases that are to be deleted first."""

USUAL, SMALL = 24, 22
"""flannel's SubnetLen; and the length of a network from which on that is not what every flannel takes."""


@diagnosis(
    "lease.overlap",
    Layer.LEASE,
    finds="Leases that overlap, or are not in the network: pods with the same address",
)
def overlap(case: Case) -> Iterator[Found]:
    """By each family."""
    leases = case.seen.leases or ()
    for family, network in case.spec.networks.items():
        held = [(lease, subnet) for lease in leases if (subnet := lease.of(family)) is not None]
        for (one, first), (other, second) in combinations(held, 2):
            if first.overlaps(second):
                evidence = (f"{one.key}: {one.value}", f"{other.key}: {other.value}")
                yield Found(
                    other.key, f"this lease overlaps {first}", evidence, (case.delete_key(other.key),)
                )
        for lease, subnet in held:
            if not subnet.overlaps(network):
                evidence = (f"{lease.key}: {lease.value}", f"the network is {network}")
                fix = (case.delete_key(lease.key),)
                yield Found(lease.key, "this lease is not in the network", evidence, fix)


@diagnosis(
    "lease.exhausted",
    Layer.STORE,
    start=True,
    finds="No subnet of the network is free: the next machine gets none",
)
def exhausted(case: Case) -> Iterator[Found]:
    """Of IPv4, by the configuration that the lab file has."""
    leases, capacity = case.seen.leases, _capacity(case)
    if leases is None or capacity is None:
        return
    first, last, length = capacity
    step = 1 << 32 - length
    total = (int(last) - int(first)) // step + 1
    taken = {
        it.subnet for it in leases if it.subnet and int(first) <= int(it.subnet.network_address) <= int(last)
    }
    if len(taken) < total:
        return
    machines = {str(node.address) for node in case.seen.minions}
    others = [lease for lease in leases if lease.subnet and public_ip(lease) not in machines]
    evidence = [f"{len(taken)} of {total} subnets from {first} to {last} are leased"]
    if others:
        such = f"{others[0].key}: {others[0].value}"
        evidence.append(f"{len(others)} of them to addresses of no machine, such as {such}")
    fix = [case.delete_key(lease.key) for lease in others[:SHOWN]]
    if not fix:
        fix = ["# in the lab file: a larger Network, or a longer SubnetLen", case.lab("down"), case.lab("up")]
    severity = Severity.MEND if others or len(case.spec.minions) > len(taken) else Severity.NOTE
    yield Found(case.key("subnets"), "no subnet is free", evidence, fix, severity)


def _capacity(case: Case) -> tuple[IPv4Address, IPv4Address, int] | None:
    """The first and the last subnet that flannel gives away (SubnetMin, SubnetMax), and their length."""
    network, config = case.spec.network, json.loads(case.spec.flannel_config)
    if network is None or (network.prefixlen > SMALL and not config.get("SubnetLen")):
        return None  # flannels of different ages take different lengths then
    length = int(config.get("SubnetLen") or USUAL)
    step = 1 << 32 - length
    first = config.get("SubnetMin") or network.network_address + step  # flannel leaves out the first
    last = config.get("SubnetMax") or network.broadcast_address + 1 - step
    return IPv4Address(first), IPv4Address(last), length
