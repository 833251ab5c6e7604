"""What `lab up` will do, as data: steps, and which needs which. Pure; `lab up --dry-run` prints it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from itertools import pairwise

from lab import confinement
from lab.engine import ContainerConfig, Network
from lab.node.etcd import CREATE_USERS
from lab.node.nat import nat_rules
from lab.node.services import IMPAIRED_UNIT
from lab.pods import PodSpec, place
from lab.spec import EtcdApi, LabSpec, NodeSpec
from lab.spec.interface import announced
from lab.spec.nat import nat_of
from lab.spec.node import FROM_SUBNET_ENV
from lab.spec.segment import Segment, Subnets, interfaces, routes

__all__ = [
    "Action",
    "CreatePod",
    "CreateUsers",
    "MakeImages",
    "MakeNetwork",
    "MakeNode",
    "PutConfig",
    "Step",
    "Verify",
    "WaitForUnit",
    "node_config",
    "plan_up",
    "ready",
]


INTERFACE = re.compile(r"\.eth\d+\.")
"""In the name of a setting of one interface."""


@dataclass(frozen=True, slots=True)
class MakeImages:
    """Build the images and the seed volume that are missing or stale."""

    def describe(self) -> str:
        """One line for a person."""
        return "build the images and the seed volume that are missing or stale"


@dataclass(frozen=True, slots=True)
class MakeNetwork:
    """Create a segment of the lab's underlay: a bridge network that nothing leaves."""

    segment: Segment
    subnets: tuple[IPv4Network, ...]
    """The possible ones, best first."""
    bare: bool = False
    """Whether packets cross it under other addresses than its own: those of pods, or of other segments."""

    def describe(self) -> str:
        """One line for a person."""
        words = f"create the network {self.subnets[0]}"
        if len(self.subnets) > 1:
            words += " or the next free one"
        if self.segment.ipv6 is not None:
            words += f", for {'IPv4 and ' if self.segment.ipv4 else ''}{self.segment.ipv6}"
        if self.segment.mtu is not None:
            words += f", MTU {self.segment.mtu}"
        return f"{words}, open to other addresses" if self.bare else words


@dataclass(frozen=True, slots=True)
class MakeNode:
    """Create and start one machine."""

    node: NodeSpec

    def describe(self) -> str:
        """One line for a person."""
        runs = ", ".join(self.node.services) or "no services"
        kind = f"the {self.node.role} {self.node.name}" if self.node.role else f"{self.node.name} ({runs})"
        start = f"start {kind} at host address .{self.node.host}"
        start += f" on the engine {self.node.engine}" if self.node.engine else ""
        program = self.node.flanneld.program
        return f"{start} with {program.path} as its flanneld" if program else start


@dataclass(frozen=True, slots=True)
class PutConfig:
    """Write flannel's network configuration into etcd."""

    node: str
    """On which the command runs."""
    key: str
    value: str
    api: EtcdApi = "v3"

    @property
    def argv(self) -> tuple[str, ...]:
        """The command."""
        if self.api == "v2":
            return ("etcdctl", "set", self.key, self.value)
        return ("etcdctl", "put", self.key, self.value)

    def describe(self) -> str:
        """One line for a person."""
        return f"{' '.join(self.argv[:-1])} '{self.value}'"


@dataclass(frozen=True, slots=True)
class CreateUsers:
    """Give etcd its users; from then on it asks everybody for one."""

    node: str
    """On which the command runs."""
    prefix: str
    """Above flannel's keys."""

    @property
    def argv(self) -> tuple[str, ...]:
        """The command."""
        return (CREATE_USERS, self.prefix)

    def describe(self) -> str:
        """One line for a person."""
        return f"give etcd its users: root, and flannel for {self.prefix}"


@dataclass(frozen=True, slots=True)
class WaitForUnit:
    """Wait until a unit runs on a machine, and with it what it needs: for docker, flanneld with its lease."""

    node: str
    unit: str
    needs: tuple[str, ...] = ()

    def describe(self) -> str:
        """One line for a person."""
        units = (*self.needs, self.unit)
        return f"wait until {' and '.join(units)} run{'s' if len(units) == 1 else ''} on {self.node}"


@dataclass(frozen=True, slots=True)
class CreatePod:
    """Run one pod on one node and wait until its ports answer."""

    pod: PodSpec
    node: str

    def describe(self) -> str:
        """One line for a person."""
        return f"run the pod {self.pod.name} on {self.node} and wait for its ports"


@dataclass(frozen=True, slots=True)
class Verify:
    """Run every check of `lab check`."""

    def describe(self) -> str:
        """One line for a person."""
        return "check leases, addresses, routes and logins"


Action = MakeImages | MakeNetwork | MakeNode | CreateUsers | PutConfig | WaitForUnit | CreatePod | Verify


@dataclass(frozen=True, slots=True)
class Step:
    """One action, and the names of the steps that must have succeeded before it."""

    name: str
    action: Action
    needs: frozenset[str]


def plan_up(spec: LabSpec) -> tuple[Step, ...]:
    """The steps from nothing to a lab whose pods answer and whose checks pass.

    Raises `Unfit` when a pod cannot be placed.
    """
    hosts = [node.name for node in spec.running("docker")]
    nodes = {node.name: f"node {node.name}" for node in spec.nodes}
    pods = place(spec.pods, hosts, dict.fromkeys(hosts, 0))
    networks = _networks(spec)
    steps = [_step("images", MakeImages()), *networks]
    made = [step.name for step in networks]
    before = _before(spec)
    steps += [
        _step(nodes[node.name], MakeNode(node), "images", *made, *before.get(node.name, ()))
        for node in spec.nodes
    ]
    etcd = [node.name for node in spec.running("etcd")]
    if etcd:
        config = PutConfig(etcd[0], f"{spec.etcd_prefix}/config", spec.flannel_config, spec.etcd_api)
        members = [nodes[name] for name in etcd]
        if spec.etcd.auth:
            steps += [_step("etcd users", CreateUsers(etcd[0], spec.etcd_prefix), *members)]
        steps += [_step("etcd", config, *(["etcd users"] if spec.etcd.auth else members))]
    for node in spec.nodes:
        # A node's own units may be what the others wait for: nothing is known of their order.
        steps += [
            _step(f"{wait.unit} on {node.name}", wait, nodes[node.name], *(["etcd"] if etcd else ()))
            for wait in _waits(spec, node, etcd[:1])
        ]
    steps += [
        _step(f"pod {pod.name}", CreatePod(pod, pods[pod.name]), f"docker on {pods[pod.name]}")
        for pod in spec.pods
    ]
    return (*steps, _step("checks", Verify(), *(step.name for step in steps)))


def _networks(spec: LabSpec) -> Sequence[Step]:
    """Make each segment's network, one after the other, or two would want the same free subnet."""
    several = len(spec.segments) > 1
    names = [f"network {segment.name}" if several else "network" for segment in spec.segments]
    before: Sequence[Sequence[str]] = [(), *([name] for name in names)]
    return [
        _step(name, MakeNetwork(segment, spec.subnets(segment), spec.bare), *after)
        for name, segment, after in zip(names, spec.segments, before, strict=False)
    ]


def _waits(spec: LabSpec, node: NodeSpec, waited: Sequence[str]) -> Iterator[WaitForUnit]:
    """What has to be waited for on a node. `waited` has the node whose etcd has been waited for, if any."""
    if spec.impairments(node):
        yield WaitForUnit(node.name, IMPAIRED_UNIT.removesuffix(".service"))
    if node.runs("etcd") and node.name not in waited:
        yield WaitForUnit(node.name, "etcd")
    if node.runs("flanneld") and not _docker_waits(node):
        yield WaitForUnit(node.name, "flanneld")
    if node.runs("docker"):
        yield WaitForUnit(node.name, "docker", ("flanneld",) if _docker_waits(node) else ())
    for unit in node.watched[len(node.services) :]:
        yield WaitForUnit(node.name, unit)


def _before(spec: LabSpec) -> dict[str, list[str]]:
    """By node, the step that must have ended before it starts, if some node has a flanneld of its own.

    A flannel 0.20 that has just started may never learn of a lease that is written in the same moment: it
    goes on watching from "now" after each change. So there, they start one after the other.
    """
    minions = spec.running("flanneld")
    if all(node.flanneld.program is None for node in minions):
        return {}
    return {node.name: [_up(previous)] for previous, node in pairwise(minions) if not node.runs("etcd")}


def _up(node: NodeSpec) -> str:
    """The step after which a node's flanneld has its lease."""
    return f"{'docker' if _docker_waits(node) else 'flanneld'} on {node.name}"


def _docker_waits(node: NodeSpec) -> bool:
    """Whether Docker starts when flanneld has its lease."""
    return node.runs("docker") and node.runs("flanneld") and node.docker.bip == FROM_SUBNET_ENV


def _step(name: str, action: Action, *needs: str) -> Step:
    return Step(name, action, frozenset(needs))


def node_config(
    spec: LabSpec,
    node: NodeSpec,
    *,
    prefix: str,
    networks: Mapping[str, Network],
    image: str,
    seed: str,
    labels: Mapping[str, str],
) -> ContainerConfig:
    """The container that stands in for one machine. `networks` are the engine's, by segment."""
    subnets = spec.subnets_of({segment: network.underlay for segment, network in networks.items()})
    given_by_engine = {
        networks[place.segment].name: str(networks[place.segment].underlay[place.host])
        for place in node.attachments
    }
    environment = {"LAB_SERVICES": " ".join(node.services), "container": "docker"}
    if len(given_by_engine) > 1:
        # An engine may connect a container to its networks in any order.
        environment["LAB_INTERFACES"] = " ".join(
            f"eth{index}={address}" for index, address in enumerate(given_by_engine.values())
        )
    if addresses := _addresses(spec, node, subnets):
        environment["LAB_ADDRESSES"] = " ".join(addresses)
    if ways := routes(node, spec.nodes, subnets):
        environment["LAB_ROUTES"] = " ".join(f"{way.to}={way.via}" for way in ways)
    if nat_of(spec.nodes, node) is not None:
        environment["LAB_PUBLIC_IP"] = str(announced(spec, node, subnets).address((4,)))
    if node.masquerade:
        environment["LAB_NAT"] = nat_rules(spec, node, subnets)
    units = [*([IMPAIRED_UNIT] if spec.impairments(node) else []), *node.units]
    if units:
        environment["LAB_UNITS"] = " ".join(units)
    given = confinement.EVERYTHING if spec.privileged else confinement.MACHINE
    forwards = node.router or node.runs("docker") or node.runs("flanneld")
    of_interfaces = {name: value for name, value in node.sysctls.items() if INTERFACE.search(name)}
    deaf = {name: value for name, value in _deaf(node, subnets).items() if name not in node.sysctls}
    of_interfaces = {**deaf, **of_interfaces}
    if of_interfaces:  # which have their names only once lab-init has given them
        environment["LAB_SYSCTLS"] = " ".join(f"{name}={value}" for name, value in of_interfaces.items())
    sysctls = {
        **given.sysctls,
        **({} if forwards else {"net.ipv4.ip_forward": "0"}),
        **(_of_ipv6(forwards) if spec.has_ipv6 else {}),
        **{name: value for name, value in node.sysctls.items() if name not in of_interfaces},
    }
    if node.runs("etcd") and spec.etcd_api == "v2":
        environment["ETCDCTL_API"] = "2"  # then the tutorial's own `etcdctl ls` is understood there
    return ContainerConfig(
        name=f"{prefix}-{node.name}",
        image=image,
        labels=labels,
        hostname=node.name,
        environment=environment,
        networks=given_by_engine,
        hosts={
            item.name: tuple(str(address.ip) for address in interfaces(item, subnets)[0].every)
            for item in spec.nodes
        },
        confinement=replace(given, sysctls=sysctls),
        volumes={seed: "/seed:ro"} if node.runs("docker") else {},
    )


def _addresses(spec: LabSpec, node: NodeSpec, subnets: Mapping[str, Subnets]) -> Sequence[str]:
    """What an interface has where that is not just what the engine gives it: INTERFACE=ADDRESS/LENGTH."""
    segments = {segment.name: segment for segment in spec.segments}
    found = zip(node.attachments, interfaces(node, subnets), strict=True)
    return [
        f"eth{index}={address}"
        for index, (place, interface) in enumerate(found)
        if not segments[place.segment].as_the_engine_gives
        for address in interface.every
    ]


def _deaf(node: NodeSpec, subnets: Mapping[str, Subnets]) -> Mapping[str, str]:
    """Settings by which a node goes on by the gateway, which would tell it that the other is on the link."""
    found = {}
    for index, where in enumerate(node.attachments):
        segment = subnets[where.segment]
        if segment.on_link == "gateway" and not node.router:
            for network in segment.every:
                devices = ("all", f"eth{index}") if network.version == 4 else (f"eth{index}",)
                for device in devices:  # of IPv4 either allows it
                    found[f"net.ipv{network.version}.conf.{device}.accept_redirects"] = "0"
    return found


def _of_ipv6(forwards: bool) -> Mapping[str, str]:
    """Settings of a machine in a lab with IPv6, which an engine whose networks have none turns off."""
    return {
        "net.ipv6.conf.all.disable_ipv6": "0",
        "net.ipv6.conf.default.disable_ipv6": "0",
        # Nobody else has its addresses; and they work at once, not after a second (RFC 4862, 5.4).
        "net.ipv6.conf.default.accept_dad": "0",
        "net.ipv6.conf.all.forwarding": "1" if forwards else "0",
    }


def ready(steps: Iterable[Step], done: frozenset[str]) -> tuple[Step, ...]:
    """The steps, not done yet, whose needs are all done."""
    return tuple(step for step in steps if step.name not in done and step.needs <= done)
