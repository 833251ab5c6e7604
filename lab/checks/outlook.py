"""What is to be expected of one machine, given what etcd and the other machines show."""

import json
from ipaddress import IPv4Network

from lab.backends import Expected, Member, Overlay, Peer
from lab.checks.facts import Facts, Lease, Minion
from lab.checks.parse import parse_environment
from lab.flannel import Dialect, dialect_of, our_dialect, parse_version

__all__ = ["expected_on", "leases_of", "masquerades", "public_ip", "subnet_of"]

MASQUERADE = frozenset({"-ip-masq", "--ip-masq", "-ip-masq=true", "--ip-masq=true"})


def expected_on(facts: Facts, minion: Minion) -> Expected:
    """What this machine must look like."""
    spec, links = facts.spec, minion.links
    eth0 = links.get("eth0") if links is not None else None
    device = links.get(spec.backend.device_name(spec.backend_config)) if links is not None else None
    own = Member(
        address=minion.address,
        subnet=subnet_of(facts, minion),
        underlay_mtu=eth0.mtu if eth0 is not None else None,
        mac=None if links is None else device.mac if device is not None else "",
    )
    peers = tuple(
        peer for other in facts.minions if other.name != minion.name for peer in _peers(facts, other)
    )
    return spec.backend.expected(
        Overlay(spec.backend_config, _dialect(facts, minion), spec.network, own, peers)
    )


def _dialect(facts: Facts, minion: Minion) -> Dialect:
    """Of a program that is not ours, by what it says of itself."""
    (node,) = [node for node in facts.spec.nodes if node.name == minion.name]
    if node.flanneld.program is None:
        return our_dialect(facts.spec.etcd_api)
    return dialect_of(parse_version(minion.version))


def masquerades(facts: Facts, minion: str) -> bool:
    """Whether this machine's flanneld does what its Docker else does: give packets that leave the overlay,
    and only those, the machine's address."""
    (node,) = [node for node in facts.spec.nodes if node.name == minion]
    return bool(MASQUERADE & {*facts.spec.flanneld_options, *node.flanneld.options})


def _peers(facts: Facts, minion: Minion) -> list[Peer]:
    if facts.leases is None:  # etcd does not say: then the machines themselves do
        name = facts.spec.backend.device_name(facts.spec.backend_config)
        subnet, device = _claim(minion), (minion.links or {}).get(name)
        return [Peer(subnet, minion.address, device.mac if device else "")] if subnet else []
    return [
        Peer(lease.subnet, minion.address, _mac(lease))
        for lease in leases_of(facts, minion)
        if lease.subnet is not None
    ]


def _claim(minion: Minion) -> IPv4Network | None:
    """The subnet that a machine's own subnet.env tells of."""
    try:
        return IPv4Network(parse_environment(minion.subnet_env or "")["FLANNEL_SUBNET"], strict=False)
    except (KeyError, ValueError):
        return None


def public_ip(lease: Lease) -> str:
    """The address that a lease names; empty when its value is none of flannel's."""
    try:
        return str(json.loads(lease.value)["PublicIP"])
    except (ValueError, KeyError, TypeError):
        return ""


def _mac(lease: Lease) -> str:
    try:
        return str(json.loads(lease.value)["BackendData"]["VtepMAC"])
    except (ValueError, KeyError, TypeError):
        return "the MAC that its lease lacks"


def leases_of(facts: Facts, minion: Minion) -> list[Lease]:
    """The leases that name this machine's address: one, if all is well."""
    return [lease for lease in facts.leases or () if public_ip(lease) == str(minion.address)]


def subnet_of(facts: Facts, minion: Minion) -> IPv4Network | None:
    """The subnet of this machine's lease; without exactly one, that of its subnet.env.

    So what a machine has made of a lease that is gone, or of one that etcd does not tell of, is compared all
    the same. That the lease is missing is told by the checks of the lease.
    """
    found = [lease.subnet for lease in leases_of(facts, minion)]
    return (found[0] if len(found) == 1 else None) or _claim(minion)
