"""What one node must look like, given what etcd and the other nodes show. Pure."""

import json
from ipaddress import IPv4Network

from lab.backends import Expected, Member, Overlay, Peer
from lab.flannel import Dialect, dialect_of, our_dialect, parse_version
from lab.observe import Lease, NodeObservation, Observation, Topic, known
from lab.observe.parse import parse_environment
from lab.spec.interface import announced
from lab.spec.node import FROM_SUBNET_ENV, NodeSpec

__all__ = [
    "NEEDS",
    "docker0_of",
    "expected_on",
    "follows_lease",
    "gateway_of",
    "leases_of",
    "masquerades",
    "public_ip",
    "subnet_of",
]

NEEDS = frozenset({Topic.LEASES, Topic.SUBNET_ENV, Topic.LINKS, Topic.DIALECT})
"""What every node has to be asked to work this out."""

SUBNET = "FLANNEL_SUBNET"

MASQUERADE = frozenset({"-ip-masq", "--ip-masq", "-ip-masq=true", "--ip-masq=true"})


def expected_on(seen: Observation, node: NodeObservation) -> Expected:
    """What this node must look like."""
    spec, links = seen.spec, known(node.links)
    here = seen.node_spec(node.name)
    outside = announced(spec, here, seen.segments)
    underlay = links.get(outside.device) if links is not None else None
    device = links.get(spec.backend.device_name(spec.backend_config)) if links is not None else None
    own = Member(
        address=node.address,
        subnet=subnet_of(seen, node),
        underlay_mtu=underlay.mtu if underlay is not None else None,
        mac=None if links is None else device.mac if device is not None else "",
    )
    peers = tuple(
        peer
        for other in seen.minions
        if other.name != node.name
        for peer in _peers(seen, other, _device_towards(seen, here, other))
    )
    return spec.backend.expected(Overlay(spec.backend_config, _dialect(seen, node), spec.network, own, peers))


def _device_towards(seen: Observation, here: NodeSpec, other: NodeObservation) -> str:
    """The interface that leads to another node's address without a router; empty if none does."""
    there = seen.node_spec(other.name)
    segment = there.attachments[announced(seen.spec, there, seen.segments).index].segment
    indices = (index for index, place in enumerate(here.attachments) if place.segment == segment)
    return next((f"eth{index}" for index in indices), "")


def _dialect(seen: Observation, node: NodeObservation) -> Dialect:
    """How this node's flanneld behaves: for a program that is not ours, by the version it prints."""
    if seen.node_spec(node.name).flanneld.program is None:
        return our_dialect(seen.spec.etcd_api)
    return dialect_of(parse_version(known(node.version) or ""))


def masquerades(seen: Observation, node: str) -> bool:
    """Whether this node's flanneld masquerades in Docker's place: it gives packets that leave the overlay,
    and only those, the node's address."""
    return bool(MASQUERADE & {*seen.spec.flanneld_options, *seen.node_spec(node).flanneld.options})


def _peers(seen: Observation, node: NodeObservation, towards: str) -> list[Peer]:
    direct, by = bool(towards), towards or "eth0"
    if seen.leases is None:  # etcd did not answer: rely on what the nodes themselves say
        name = seen.spec.backend.device_name(seen.spec.backend_config)
        subnet, device = _claim(node), (known(node.links) or {}).get(name)
        return [Peer(subnet, node.address, device.mac if device else "", direct, by)] if subnet else []
    return [
        Peer(lease.subnet, node.address, _mac(lease), direct, by)
        for lease in leases_of(seen, node)
        if lease.subnet is not None
    ]


def _claim(node: NodeObservation) -> IPv4Network | None:
    """The subnet in a node's own subnet.env, if there is one."""
    env = known(node.subnet_env)
    try:
        text = env.text if env is not None else None
        return IPv4Network(parse_environment(text or "")[SUBNET], strict=False)
    except (KeyError, ValueError):
        return None


def public_ip(lease: Lease) -> str:
    """The address that a lease names; empty when flannel would not write such a value."""
    try:
        return str(json.loads(lease.value)["PublicIP"])
    except (ValueError, KeyError, TypeError):
        return ""


def _mac(lease: Lease) -> str:
    try:
        return str(json.loads(lease.value)["BackendData"]["VtepMAC"])
    except (ValueError, KeyError, TypeError):
        return "the MAC that its lease lacks"


def leases_of(seen: Observation, node: NodeObservation) -> list[Lease]:
    """The leases that name this node's address: one, if all is well."""
    return [lease for lease in seen.leases or () if public_ip(lease) == str(node.address)]


def subnet_of(seen: Observation, node: NodeObservation) -> IPv4Network | None:
    """The subnet of this node's lease or, unless it has exactly one lease, that of its subnet.env.

    This way, what a node has set up for a lease that is gone, or that etcd does not report, is still
    compared. The missing lease itself is reported by the checks of leases.
    """
    found = [lease.subnet for lease in leases_of(seen, node)]
    return (found[0] if len(found) == 1 else None) or _claim(node)


def follows_lease(seen: Observation, node: NodeObservation) -> bool:
    """Whether docker0 has to be as this node's lease says: Docker runs with the options of its flanneld."""
    spec = seen.node_spec(node.name)
    return spec.runs("flanneld") and spec.runs("docker") and spec.docker.bip == FROM_SUBNET_ENV


def docker0_of(seen: Observation, node: NodeObservation) -> str | None:
    """The address that docker0 must have on a node; None if nobody can tell."""
    fixed = seen.node_spec(node.name).docker.address
    if fixed is not None:
        return str(fixed)
    return gateway_of(subnet_of(seen, node)) if follows_lease(seen, node) else None


def gateway_of(subnet: IPv4Network | None) -> str | None:
    """docker0's address on a node of this subnet."""
    return f"{subnet.network_address + 1}/{subnet.prefixlen}" if subnet is not None else None
