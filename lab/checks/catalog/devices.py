"""Each minion's devices, compared with its lease: eth0, flannel's own and docker0 [3.7]."""

from collections.abc import Iterator, Mapping, Sequence

from lab.backends import Side
from lab.checks.expected import (
    NEEDS,
    docker0_families,
    docker0_of,
    expected_on,
    follows_lease,
    gateway_of,
    masquerades,
    subnet_of,
)
from lab.checks.finding import Comparison, Subject, equal
from lab.checks.links import NO_SUBNET, compare_address, compare_link
from lab.checks.registry import Layer, check
from lab.checks.values import Failure, Number, Text, Value
from lab.observe import Link, NodeObservation, Observation, Topic, known
from lab.observe.parse import parse_environment
from lab.spec.segment import Family, interfaces

PREFIX: Mapping[Family, str] = {4: "FLANNEL", 6: "FLANNEL_IPV6"}
"""Of the keys in subnet.env."""


def _with_links(seen: Observation) -> Iterator[tuple[NodeObservation, Mapping[str, Link]]]:
    """The minions whose devices are known."""
    for node in seen.minions:
        links = known(node.links)
        if links is not None:
            yield node, links


def _with_device(seen: Observation) -> Iterator[tuple[Mapping[str, Link], Subject, Sequence[Side]]]:
    """The devices of flannel that each minion must have, with what must be so of each.

    IPv4 and IPv6 may have one each, or share one.
    """
    for node, links in _with_links(seen):
        sides = expected_on(seen, node).sides
        for device in dict.fromkeys(side.device for side in sides if side.device):
            yield links, Subject.node(node.name, device), [side for side in sides if side.device == device]


def _mtu(link: Link) -> Number:
    return Number(link.mtu)


@check(
    "underlay.address",
    "{part} address",
    layer=Layer.DEVICE,
    part="eth0",
    on="minion",
    expects="the one that the lab gave it; so with eth1 and up, of a machine on several segments",
    needs={Topic.LINKS},
)
def underlay_address(seen: Observation) -> Iterator[Comparison]:
    """It is still there."""
    for node, links in _with_links(seen):
        for index, address in enumerate(interfaces(seen.node_spec(node.name), seen.segments)):
            wanted: dict[Family, str | None] = {item.version: str(item) for item in address.every}
            yield compare_address(Subject.node(node.name, f"eth{index}"), links, wanted)


@check(
    "underlay.mtu",
    "{part} MTU",
    layer=Layer.DEVICE,
    part="eth0",
    on="minion",
    expects="the lab file's `mtu` of the network, if there is one",
    needs={Topic.LINKS},
)
def underlay_mtu(seen: Observation) -> Iterator[Comparison]:
    """The largest packet between nodes."""
    wanted = {segment.name: segment.mtu for segment in seen.spec.segments}
    for node, links in _with_links(seen):
        for index, place in enumerate(seen.node_spec(node.name).attachments):
            mtu = wanted[place.segment]
            if mtu is not None:
                yield compare_link(Subject.node(node.name, f"eth{index}"), links, Number(mtu), _mtu)


@check(
    "overlay.address",
    "{part} address",
    layer=Layer.DEVICE,
    part="DEV",
    on="minion",
    expects="udp: `10.2.X.0/16`, with flannel from 0.11 on `/32`; vxlan: `10.2.X.0/32`, with flannel "
    "before 0.9 `/16`",
    needs=NEEDS,
)
def overlay_address(seen: Observation) -> Iterator[Comparison]:
    """The first of the node's subnet."""
    for links, subject, sides in _with_device(seen):
        yield compare_address(subject, links, {side.family: side.address for side in sides})


@check(
    "overlay.mtu",
    "{part} MTU",
    layer=Layer.DEVICE,
    part="DEV",
    on="minion",
    expects="that of eth0 less 28 (udp: 1472), 50 (vxlan: 1450), 80 (wireguard: 1420) or 20 (ipip: 1480)",
    needs=NEEDS,
)
def overlay_mtu(seen: Observation) -> Iterator[Comparison]:
    """What fits into a packet of the underlay."""
    for links, subject, sides in _with_device(seen):
        mtu = sides[0].mtu
        if mtu is not None:
            yield compare_link(subject, links, Number(mtu), _mtu)


@check(
    "overlay.queue",
    "{part} queue length",
    layer=Layer.DEVICE,
    part="DEV",
    on="minion",
    expects="with udp: 500",
    needs=NEEDS,
)
def overlay_queue(seen: Observation) -> Iterator[Comparison]:
    """A TUN device's, as the tutorial shows it."""
    for links, subject, sides in _with_device(seen):
        queue = sides[0].queue
        if queue is not None:
            yield compare_link(subject, links, Number(queue), lambda link: Number(link.queue or 0))


@check(
    "overlay.state",
    "{part} state",
    layer=Layer.DEVICE,
    part="DEV",
    on="minion",
    expects="UP",
    needs=NEEDS,
)
def overlay_state(seen: Observation) -> Iterator[Comparison]:
    """IFF_UP."""
    for links, subject, _ in _with_device(seen):
        yield compare_link(subject, links, Text("UP"), lambda link: Text("UP" if link.up else "DOWN"))


@check(
    "docker0.address",
    "{part} address",
    layer=Layer.DEVICE,
    part="docker0",
    on="minion",
    expects="`10.2.X.1/24`, or the lab file's `docker.bip`",
    needs=NEEDS,
)
def docker0_address(seen: Observation) -> Iterator[Comparison]:
    """Its pods' gateway."""
    for node in seen.running("docker"):
        links = known(node.links)
        families = docker0_families(seen, node)
        if links is not None and families:
            wanted = {family: docker0_of(seen, node, family) for family in families}
            yield compare_address(Subject.node(node.name, "docker0"), links, wanted)


@check(
    "docker0.mtu",
    "{part} MTU",
    layer=Layer.DEVICE,
    part="docker0",
    on="minion",
    expects="DEV's; with host-gw eth0's",
    needs=NEEDS,
)
def docker0_mtu(seen: Observation) -> Iterator[Comparison]:
    """So that containers send no packet that is too big for flannel."""
    for node, links in _with_links(seen):
        mtu = expected_on(seen, node).mtu
        if mtu is not None and follows_lease(seen, node):
            yield compare_link(Subject.node(node.name, "docker0"), links, Number(mtu), _mtu)


@check(
    "subnet-env.text",
    "subnet.env",
    layer=Layer.DEVICE,
    on="minion",
    expects="the file as flannel 0.5.5 writes it, to the byte",
    needs=NEEDS,
)
def subnet_env(seen: Observation) -> Iterator[Comparison]:
    """A value that cannot be predicted is accepted as found, if there is one."""
    for node in seen.minions:
        env = known(node.subnet_env)
        if env is None:
            continue
        told = parse_environment(env.text or "")
        mtu = expected_on(seen, node).mtu
        values = {}
        for family, network in seen.spec.networks.items():
            prefix = PREFIX[family]
            values[f"{prefix}_NETWORK"] = str(network)
            values[f"{prefix}_SUBNET"] = gateway_of(subnet_of(seen, node, family)) or NO_SUBNET.text
        values |= {
            "FLANNEL_MTU": str(mtu) if mtu is not None else told.get("FLANNEL_MTU", "that of its interface"),
            "FLANNEL_IPMASQ": str(masquerades(seen, node.name)).lower(),
        }
        expected = Text("".join(f"{key}={value}\n" for key, value in values.items()))
        found: Value = Text(env.text) if env.text is not None else Failure(env.reason)
        yield equal(Subject.node(node.name), expected, found)
