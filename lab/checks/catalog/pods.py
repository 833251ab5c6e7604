"""Each pod runs, with an address from its minion's lease [4.1]."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_interface

from lab.checks.expected import NEEDS, docker0_families, expected_on, follows_lease, subnet_of
from lab.checks.finding import Comparison, Subject, compare, unknown
from lab.checks.hidden import who_may_hide
from lab.checks.links import NO_SUBNET, addresses, compare_link
from lab.checks.registry import Layer, check
from lab.checks.values import AllOf, Between, Data, Missing, Number, OneOf
from lab.observe import Link, NodeObservation, Observation, Topic, known
from lab.pods import RunningPod


@dataclass(frozen=True, slots=True)
class PodState:
    """How a pod is doing, and where."""

    status: str
    ready: str
    node: str

    @property
    def data(self) -> Data:
        """As in kubectl's columns."""
        return {"status": self.status, "ready": self.ready, "node": self.node}

    @property
    def text(self) -> str:
        """For a person."""
        return f"{self.status} {self.ready} on {self.node}"


@check(
    "pod.running",
    "pod",
    layer=Layer.POD,
    on="pod",
    expects="`Running`, all containers ready, on the node that its `nodeName` names; `Completed` passes too, "
    "where `restartPolicy` is not `Always`",
    needs={Topic.PODS},
)
def running(seen: Observation) -> Iterator[Comparison]:
    """Each pod of the lab file, and each that was created later."""
    wanted = {pod.name: pod for pod in seen.spec.pods} | {pod.name: pod.spec for pod in seen.pods}
    for name, spec in wanted.items():
        pod, count = seen.pod(name), len(spec.containers)
        where = spec.node or (pod.node if pod else "any minion")
        right = [PodState("Running", f"{count}/{count}", where)]
        if spec.restart_policy != "Always":
            right.append(PodState("Completed", f"0/{count}", where))
        expected = OneOf(tuple(right))
        hidden = who_may_hide(seen, name)
        if pod is not None:
            state = PodState(pod.status, pod.ready, pod.node)
            yield compare(Subject.pod(name), state in right, expected, state)
        elif hidden is not None:
            yield unknown(Subject.pod(name), expected, hidden)
        else:
            yield compare(Subject.pod(name), False, expected, Missing("there is no such pod"))


def _with_links(seen: Observation) -> Iterator[tuple[RunningPod, NodeObservation, dict[str, Link]]]:
    """The pods whose devices are known and must be right."""
    for node in seen.nodes.values():
        links = known(node.pod_links) or {}
        for pod in known(node.pods) or ():
            if pod.status != "Completed" and pod.name in links:
                yield pod, node, dict(links[pod.name])


@check(
    "pod.address",
    "pod {part} address",
    layer=Layer.POD,
    part="eth0",
    on="pod",
    expects="in its minion's subnet, or that of the lab file's `docker.bip`, from .2 up",
    needs={*NEEDS, Topic.PODS, Topic.POD_LINKS},
)
def address(seen: Observation) -> Iterator[Comparison]:
    """From .2 on: .0 is flannel's, .1 docker0's. Nobody knows where Docker has chosen the subnet itself."""
    for pod, node, links in _with_links(seen):
        fixed, families = seen.node_spec(node.name).docker.address, docker0_families(seen, node)
        if not families:
            continue
        subnets = [fixed.network] if fixed is not None else [subnet_of(seen, node, it) for it in families]
        subject, link = Subject.pod(pod.name, "eth0"), links.get("eth0")
        ranges = [_range(subnet) for subnet in subnets if subnet is not None]
        if len(ranges) < len(subnets):
            yield compare(subject, False, NO_SUBNET, addresses(link, families))
            continue
        held = [link.of(family) if link is not None else () for family in families]
        ok = all(found in has for has, found in zip(ranges, held, strict=True))
        expected = ranges[0] if len(ranges) == 1 else AllOf(tuple(ranges))
        yield compare(subject, ok, expected, addresses(link, families))


@dataclass(frozen=True, slots=True)
class Range(Between):
    """The addresses of a subnet that its pods may have."""

    def __contains__(self, found: tuple[str, ...]) -> bool:
        first, last = ip_interface(self.first), ip_interface(self.last)
        held = [ip_interface(item) for item in found]
        return (
            len(held) == 1
            and held[0].network == first.network
            and int(first.ip) <= int(held[0].ip) <= int(last.ip)
        )


def _range(subnet: IPv4Network | IPv6Network) -> Range:
    length = subnet.prefixlen
    return Range(f"{subnet.network_address + 2}/{length}", f"{subnet.broadcast_address - 1}/{length}")


@check(
    "pod.mtu",
    "pod {part} MTU",
    layer=Layer.POD,
    part="eth0",
    on="pod",
    expects="docker0's",
    needs={*NEEDS, Topic.PODS, Topic.POD_LINKS},
)
def mtu(seen: Observation) -> Iterator[Comparison]:
    """What fits into the overlay."""
    for pod, node, links in _with_links(seen):
        wanted = expected_on(seen, node).mtu if follows_lease(seen, node) else None
        if wanted is not None:
            subject = Subject.pod(pod.name, "eth0")
            yield compare_link(subject, links, Number(wanted), lambda link: Number(link.mtu))
