"""A lab that stands: its machines and its pods, found by the engine's labels alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from lab import labels, threads, wait
from lab.cluster.fleet import Fleet
from lab.engine import Engine, Network
from lab.errors import LabError, Unfit
from lab.labels import HOST, NAME, NODE, SEGMENT, SPEC, USER, VERSION
from lab.naming import Maker, name_option, our_version
from lab.node import Node, kubelet
from lab.pods import RunningPod
from lab.spec import LabSpec, ServiceName
from lab.spec.engine import UNREACHED, engines_in
from lab.spec.segment import ONLY, Subnets, interfaces
from lab.suggest import suggest

if TYPE_CHECKING:
    from lab.faults.control import Started

__all__ = ["NOWHERE", "Lab", "Unreadable", "maker_of", "names", "remove_all"]

NOWHERE = IPv4Network("0.0.0.0/24")
"""Stands for the subnet of a segment that an unfinished lab does not have; no node is on it."""


class Unreadable(LabError):
    """A lab that another version of overlay-lab has made, about which this one knows nothing for certain."""

    def __init__(self, network: Network, why: str = "") -> None:
        """`why` is what cannot be read, where the version is ours."""
        name = network.labels[NAME]
        made = network.labels.get(VERSION)
        self.made_by = f"overlay-lab {made}" if made else "an overlay-lab that did not say its version"
        option = name_option(name)
        super().__init__(
            f"the lab {name} was made by {self.made_by}, and {why or f'this is {our_version()}'}",
            hint=f"Use that version; or make the lab anew: lab down{option}; then lab up{option}",
        )


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab that stands, wholly or in part."""

    engine: Engine
    spec: LabSpec
    """As the engine's label has it: without what the pods' variables hold."""
    network: Network
    given: Mapping[str, IPv4Network]
    """The subnet that the engine has for each of the underlay's segments, the first of the lab file first."""
    nodes: Mapping[str, Node]
    fleet: Fleet
    """The engines that its machines are on; `engine` is its home."""

    @classmethod
    def find(cls, engine: Engine, name: str) -> "Lab | None":
        """The lab of that name, as it is right now. Raises `Unreadable`."""
        networks = engine.networks({NAME: name})
        if not networks:
            return None
        if networks[0].labels.get(VERSION) != our_version():
            raise Unreadable(networks[0])
        try:
            spec = LabSpec.from_json(networks[0].labels[SPEC])
        except LabError as error:
            raise Unreadable(networks[0], error.message) from error
        there = {network.labels.get(SEGMENT, ONLY): network for network in networks}
        given = {
            item.name: there[item.name].underlay if item.name in there else NOWHERE for item in spec.segments
        }
        segments = spec.subnets_of(given)
        hosts = {node.name: interfaces(node, segments)[0].ip for node in spec.nodes}
        fleet = Fleet.of(engine, spec.engines)
        containers = {
            item.labels[NODE]: (of, item)
            for of, item in fleet.containers({NAME: name})
            if NODE in item.labels
        }
        nodes = {
            node: Node(*containers[node], address) for node, address in hosts.items() if node in containers
        }
        return cls(engine, spec, networks[0], given, nodes, fleet)

    @classmethod
    def get(cls, engine: Engine, name: str) -> "Lab":
        """The lab of that name. Raises `LabError` when there is none."""
        found = cls.find(engine, name)
        if found is None:
            others = sorted({item.labels[NAME] for item in engine.networks([NAME])})
            known = suggest(name, others, "there is") if others else ""
            raise LabError(f"there is no lab {name}{known}", hint=f"Start it with: lab up{name_option(name)}")
        return found

    @property
    def name(self) -> str:
        """The lab's name."""
        return self.spec.name

    @property
    def segments(self) -> Mapping[str, Subnets]:
        """The subnets of the underlay's segments, as nodes have addresses of them."""
        return self.spec.subnets_of(self.given)

    @property
    def underlay(self) -> IPv4Network:
        """The first segment's subnet, as the engine has it."""
        return next(iter(self.given.values()))

    @property
    def has_its_networks(self) -> bool:
        """Whether every segment is there; an unfinished lab may lack some."""
        return NOWHERE not in self.given.values()

    @property
    def maker(self) -> Maker:
        """Who made it."""
        return _maker(self.network)

    @property
    def complete(self) -> bool:
        """Whether `lab up` had finished it."""
        return self.engine.volume(labels.mark(self.name)) is not None

    @property
    def missing(self) -> tuple[str, ...]:
        """The machines that do not run, with the state that each is in."""
        states = {node.name: self.state(node.name) for node in self.spec.nodes}
        return tuple(f"{name} ({state})" for name, state in states.items() if state != "running")

    def state(self, name: str) -> str:
        """A machine's container, in the engine's word; absent where there is none."""
        found = self.nodes.get(name)
        if found is not None:
            return found.container.state
        return UNREACHED if self.engine_of(name) in self.fleet.silent else "absent"

    def engine_of(self, name: str) -> str:
        """The name of the engine that a machine is on; empty where there is one alone."""
        return next((node.engine for node in self.spec.nodes if node.name == name), "")

    def node(self, name: str) -> Node:
        """A machine that runs, by its host name. Raises `LabError`."""
        if name not in {node.name for node in self.spec.nodes}:
            maybe = suggest(name, (node.name for node in self.spec.nodes), "it has")
            raise Unfit(f"the lab {self.name} has no node {name}{maybe}")
        found = self.nodes.get(name)
        if found is None and (silent := self.fleet.silent.get(self.engine_of(name))) is not None:
            raise LabError(
                f"the engine {self.engine_of(name)}, which the node {name} is on, does not answer",
                hint=silent.message,
            )
        if found is None or found.container.state != "running":
            raise LabError(f"the node {name} does not run: its container is {self.state(name)}")
        return found

    def look_for(self, name: str) -> Node | wait.NotYet:
        """A machine, if it runs right now: its container may have been started again."""
        try:
            engine = self.fleet.engine(self.engine_of(name))
            found = engine.containers({NAME: self.name, NODE: name})
        except LabError as error:
            return wait.NotYet(error.message)
        for container in found:
            if container.state == "running":
                return Node(engine, container, self.nodes[name].address)
        return wait.NotYet([container.state for container in found])

    def running(self, service: ServiceName) -> Sequence[Node]:
        """The machines that run a service, in the lab file's order. Raises `LabError` if one does not run."""
        return [self.node(node.name) for node in self.spec.running(service)]

    @property
    def minions(self) -> Sequence[Node]:
        """The machines that are in the overlay, in the lab file's order."""
        return self.running("flanneld")

    def pods(self) -> Sequence[RunningPod]:
        """Every pod, by name, of the machines whose Docker answers; of the others nothing is known."""
        return self._pods(_pods_if_known)

    def all_pods(self) -> Sequence[RunningPod]:
        """Every pod, by name. Raises `DockerDown` if a machine that may have some does not answer."""
        return self._pods(kubelet.list_pods)

    def _pods(self, of: Callable[[Node], Sequence[RunningPod]]) -> Sequence[RunningPod]:
        minions = [
            node
            for node in self.nodes.values()
            if "docker" in node.services and node.container.state == "running"
        ]
        found = threads.each(of, minions)
        return sorted((pod for pods in found for pod in pods), key=lambda pod: pod.name)

    def pod(self, name: str) -> RunningPod:
        """One pod, by its name. Raises `LabError`."""
        pods = self.pods()
        for pod in pods:
            if pod.name == name:
                return pod
        self.all_pods()  # a minion that cannot be asked may have it: then that is what is told
        maybe = suggest(name, (pod.name for pod in pods), "it has")
        raise LabError(f"the lab {self.name} has no pod {name}{maybe}")

    def fault(self, name: str, *targets: str, **options: object) -> AbstractContextManager["Started"]:
        """A fault for as long as the context is open: what `lab fault start` takes, it takes too.

        With `with lab.fault("unit-pause", "centos-minion01/flanneld"):` a state is ended when the block is
        left, an event is done when it is entered. Raises `LabError`.
        """
        from lab.faults.control import held  # it stands on this module

        return held(Lab.get(self.engine, self.name), name, targets, options)

    def remove_pod(self, name: str) -> None:
        """Remove a pod with its containers and their anonymous volumes."""
        kubelet.remove_pod(self.node(self.pod(name).node), name)


def maker_of(engine: Engine, name: str) -> Maker | None:
    """Who made the lab of this name; None where nothing of it says so, as when there is no such lab."""
    networks = engine.networks({NAME: name})
    return _maker(networks[0]) if networks else None


def _maker(network: Network) -> Maker:
    return Maker(network.labels.get(USER, ""), network.labels.get(HOST, ""))


def _pods_if_known(node: Node) -> Sequence[RunningPod]:
    try:
        return kubelet.list_pods(node)
    except kubelet.DockerDown:
        return ()


def remove_all(engine: Engine, name: str) -> Iterator[str]:
    """Remove everything that carries a lab's name, on all its engines; answers what was removed, in words.

    Raises `LabError` as `Fleet.remove` does.
    """
    yield from _fleet(engine, name).remove(name)


def _fleet(engine: Engine, name: str) -> Fleet:
    """The engines of a lab, whoever made it, as far as its networks tell."""
    networks = engine.networks({NAME: name})
    return Fleet.of(engine, engines_in(networks[0].labels.get(SPEC, "")) if networks else ())


def names(engine: Engine) -> Iterable[str]:
    """The names of all labs of which anything is there."""
    found = [item.labels for item in engine.networks([NAME])]
    found += [item.labels for item in engine.containers([NAME])]
    found += [item.labels for item in engine.volumes([NAME])]
    return sorted({labels[NAME] for labels in found})
