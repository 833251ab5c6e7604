"""Each minion's devices, compared with its lease: eth0, flannel's own and docker0 [3.7]."""

from collections.abc import Iterator, Mapping

from lab.checks.expected import (
    NEEDS,
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
from lab.spec.segment import interfaces


def _with_links(seen: Observation) -> Iterator[tuple[NodeObservation, Mapping[str, Link]]]:
    """The minions whose devices are known."""
    for node in seen.minions:
        links = known(node.links)
        if links is not None:
            yield node, links


def _with_device(seen: Observation) -> Iterator[tuple[NodeObservation, Mapping[str, Link], Subject]]:
    """The minions that must have a flannel device, each with that device."""
    for node, links in _with_links(seen):
        device = expected_on(seen, node).device
        if device:
            yield node, links, Subject.node(node.name, device)


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
            yield compare_address(Subject.node(node.name, f"eth{index}"), links, str(address))


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
    for node, links, subject in _with_device(seen):
        yield compare_address(subject, links, expected_on(seen, node).address)


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
    for node, links, subject in _with_device(seen):
        mtu = expected_on(seen, node).mtu
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
    for node, links, subject in _with_device(seen):
        queue = expected_on(seen, node).queue
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
    for _, links, subject in _with_device(seen):
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
        if links is not None and (follows_lease(seen, node) or docker0_of(seen, node) is not None):
            yield compare_address(Subject.node(node.name, "docker0"), links, docker0_of(seen, node))


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
        values = {
            "FLANNEL_NETWORK": str(seen.spec.network),
            "FLANNEL_SUBNET": gateway_of(subnet_of(seen, node)) or NO_SUBNET.text,
            "FLANNEL_MTU": str(mtu) if mtu is not None else told.get("FLANNEL_MTU", "that of its interface"),
            "FLANNEL_IPMASQ": str(masquerades(seen, node.name)).lower(),
        }
        expected = Text("".join(f"{key}={value}\n" for key, value in values.items()))
        found: Value = Text(env.text) if env.text is not None else Failure(env.reason)
        yield equal(Subject.node(node.name), expected, found)
