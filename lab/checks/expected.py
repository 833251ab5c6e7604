"""What one node must look like, given what etcd and the other nodes show. Pure."""

import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from lab.backends import Expected, Member, Overlay, Peer
from lab.backends.model import DATA
from lab.flannel import Dialect, dialect_of, our_dialect, parse_version
from lab.observe import Lease, NodeObservation, Observation, Topic, known
from lab.observe.parse import parse_environment
from lab.spec.interface import device_towards
from lab.spec.node import FROM_SUBNET_ENV, NodeSpec
from lab.spec.segment import Family

__all__ = [
    "NEEDS",
    "address_of",
    "docker0_families",
    "docker0_of",
    "expected_on",
    "follows_lease",
    "gateway_of",
    "leases_of",
    "masquerades",
    "public_ip",
    "subnet_of",
]

Network = IPv4Network | IPv6Network

NEEDS = frozenset({Topic.LEASES, Topic.SUBNET_ENV, Topic.LINKS, Topic.DIALECT})
"""What every node has to be asked to work this out."""

SUBNET: Mapping[Family, str] = {4: "FLANNEL_SUBNET", 6: "FLANNEL_IPV6_SUBNET"}
"""The key of subnet.env that has docker0's address."""

ABSENT: Mapping[Family, IPv4Address | IPv6Address] = {4: IPv4Address(0), 6: IPv6Address(0)}
"""Go's zero values, which flannel writes for an address that is not there."""

MASQUERADE = frozenset({"-ip-masq", "--ip-masq", "-ip-masq=true", "--ip-masq=true"})


def expected_on(seen: Observation, node: NodeObservation) -> Expected:
    """What this node must look like."""
    spec, links = seen.spec, known(node.links)
    here = seen.node_spec(node.name)
    underlay = links.get(seen.announced[here.name].device) if links is not None else None

    def overlay(family: Family, network: Network) -> Overlay:
        own = Member(
            address=address_of(seen, node, family),
            subnet=subnet_of(seen, node, family),
            underlay_mtu=underlay.mtu if underlay is not None else None,
            mac=_mac_on(seen, node, family),
        )
        peers = tuple(
            peer
            for other in seen.minions
            if other.name != node.name
            for peer in _peers(seen, other, _device_towards(seen, here, other), family)
        )
        return Overlay(spec.backend_config, _dialect(seen, node), network, own, peers)

    return spec.backend.expected([overlay(family, network) for family, network in spec.networks.items()])


def _device_towards(seen: Observation, here: NodeSpec, other: NodeObservation) -> str:
    return device_towards(here, seen.node_spec(other.name), seen.announced[other.name], seen.segments)


def _mac_on(seen: Observation, node: NodeObservation, family: Family) -> str | None:
    """That of flannel's device: empty where there is none, None where nobody can tell."""
    links = known(node.links)
    if links is None:
        return None
    device = links.get(seen.spec.backend.device_name(seen.spec.backend_config, family))
    return device.mac if device is not None else ""


def address_of(seen: Observation, node: NodeObservation, family: Family) -> IPv4Address | IPv6Address:
    """The one that this node's lease is to name; the zero of a family that its interface lacks."""
    return seen.announced[node.name].addresses.get(family) or ABSENT[family]


def _dialect(seen: Observation, node: NodeObservation) -> Dialect:
    """How this node's flanneld behaves: for a program that is not ours, by the version it prints."""
    if seen.node_spec(node.name).flanneld.program is None:
        return our_dialect(seen.spec.etcd_api)
    return dialect_of(parse_version(known(node.version) or ""))


def masquerades(seen: Observation, node: str) -> bool:
    """Whether this node's flanneld masquerades in Docker's place: it gives packets that leave the overlay,
    and only those, the node's address."""
    return bool(MASQUERADE & {*seen.spec.flanneld_options, *seen.node_spec(node).flanneld.options})


def _peers(seen: Observation, node: NodeObservation, towards: str, family: Family) -> list[Peer]:
    direct, by = bool(towards), towards or "eth0"
    address = address_of(seen, node, family)
    if seen.leases is None:  # etcd did not answer: rely on what the nodes themselves say
        subnet = _claim(node, family)
        return [Peer(subnet, address, _mac_on(seen, node, family) or "", direct, by)] if subnet else []
    held = [(lease, lease.of(family)) for lease in leases_of(seen, node)]
    return [
        Peer(subnet, address, _mac(lease, family), direct, by) for lease, subnet in held if subnet is not None
    ]


def _claim(node: NodeObservation, family: Family) -> Network | None:
    """The subnet in a node's own subnet.env, if there is one."""
    env = known(node.subnet_env)
    try:
        text = env.text if env is not None else None
        subnet = ip_network(parse_environment(text or "")[SUBNET[family]], strict=False)
    except (KeyError, ValueError):
        return None
    return subnet if subnet.version == family else None


def public_ip(lease: Lease) -> str:
    """The address that a lease names, of IPv4, or of IPv6 where it has that alone.

    Empty when flannel would not write such a value.
    """
    try:
        value = json.loads(lease.value)
        return str(value["PublicIPv6"] if value["PublicIP"] == str(ABSENT[4]) else value["PublicIP"])
    except (ValueError, KeyError, TypeError):
        return ""


def _mac(lease: Lease, family: Family) -> str:
    try:
        return str(json.loads(lease.value)[DATA[family]]["VtepMAC"])
    except (ValueError, KeyError, TypeError):
        return "the MAC that its lease lacks"


def leases_of(seen: Observation, node: NodeObservation) -> list[Lease]:
    """The leases that name this node's address: one, if all is well."""
    return [lease for lease in seen.leases or () if public_ip(lease) == str(node.address)]


def subnet_of(seen: Observation, node: NodeObservation, family: Family = 4) -> Network | None:
    """The subnet of this node's lease or, unless it has exactly one lease, that of its subnet.env.

    This way, what a node has set up for a lease that is gone, or that etcd does not report, is still
    compared. The missing lease itself is reported by the checks of leases.
    """
    found = [lease.of(family) for lease in leases_of(seen, node)]
    return (found[0] if len(found) == 1 else None) or _claim(node, family)


def follows_lease(seen: Observation, node: NodeObservation) -> bool:
    """Whether docker0 has to be as this node's lease says: Docker runs with the options of its flanneld."""
    spec = seen.node_spec(node.name)
    return spec.runs("flanneld") and spec.runs("docker") and spec.docker.bip == FROM_SUBNET_ENV


def docker0_families(seen: Observation, node: NodeObservation) -> tuple[Family, ...]:
    """Those of which docker0's address is said: by the lease, or by the lab file."""
    if follows_lease(seen, node):
        return seen.spec.families
    return (4,) if seen.node_spec(node.name).docker.address is not None else ()


def docker0_of(seen: Observation, node: NodeObservation, family: Family = 4) -> str | None:
    """The address of a family that docker0 must have on a node; None if nobody can tell, or it has none."""
    fixed = seen.node_spec(node.name).docker.address
    if fixed is not None:
        return str(fixed) if family == 4 else None
    return gateway_of(subnet_of(seen, node, family)) if follows_lease(seen, node) else None


def gateway_of(subnet: Network | None) -> str | None:
    """docker0's address on a node of this subnet."""
    return f"{subnet.network_address + 1}/{subnet.prefixlen}" if subnet is not None else None
