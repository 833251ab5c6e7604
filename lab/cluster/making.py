"""What each action of the plan does: the engine and the machines are asked for it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from lab import checks, images, labels, wait
from lab.cluster import underlay
from lab.cluster.fleet import Fleet
from lab.cluster.lab import Lab
from lab.cluster.plan import (
    Action,
    CreatePod,
    CreateUsers,
    MakeImages,
    MakeNetwork,
    MakeNode,
    PutConfig,
    Verify,
    WaitForUnit,
    node_config,
)
from lab.cluster.settled import settled
from lab.deadlines import CONFIG_TAKEN, PACKET
from lab.engine import Engine, EngineUnavailable, FileContent, Network
from lab.errors import LabError, NoAnswer
from lab.events import Reporter
from lab.naming import our_version, ourselves
from lab.node import Node, kubelet
from lab.spec import LabSpec, NodeSpec, wrong_store
from lab.spec.segment import interfaces

__all__ = ["Making"]

OWN_DAEMON = "What a flanneld of your own must do, and what is read of it: docs/own-daemon.md"


class Making:
    """The effects of a plan's actions, and what they hand to each other."""

    def __init__(
        self,
        engine: Engine,
        spec: LabSpec,
        files: Mapping[str, Mapping[str, FileContent]],
    ) -> None:
        self.engine = engine
        self.fleet = Fleet.of(engine, spec.engines)
        self.spec = spec
        self.files = files
        self.cancel = threading.Event()
        self.images: images.Images
        self.networks: dict[str, Network] = {}
        """By segment."""
        self.nodes: dict[str, Node] = {}
        """Those that run."""
        self.lab: Lab
        """Once all of it is there."""
        self.findings: tuple[checks.Finding, ...] = ()
        self.unsure: set[str] = set()
        """What the engine was asked to make, and has not answered."""

    def act(self, action: Action, progress: Reporter) -> None:
        """Perform one action of the plan."""
        match action:
            case MakeImages():
                with self._asked("images"):
                    self.images = images.ensure(self.engine, progress)
                    images.carry(self.engine, self.fleet.others, self.images, progress)
            case MakeNetwork(segment):
                with self._asked(f"network {segment.name}"):
                    self.networks[segment.name] = self._make_network(action)
            case MakeNode(node):
                with self._asked(f"node {node.name}"):
                    self._make_node(node)
            case CreateUsers(node):
                self._await_etcd(action.argv, node, "etcd to take its users")
            case PutConfig(node):
                self._await_etcd(action.argv, node, "etcd to take the configuration")
            case WaitForUnit(node, unit):
                self._wait_for_unit(self.nodes[node], unit)
            case CreatePod(pod, node):
                kubelet.run_pod(self.engine, self.nodes[node], pod, cancel=self.cancel)
            case Verify():
                self._verify()

    @contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        """Count something as unsure until it has ended, and for ever where the engine did not answer."""
        self.unsure.add(what)
        try:
            yield
        except EngineUnavailable:
            raise
        except BaseException:
            self.unsure.discard(what)
            raise
        self.unsure.discard(what)

    def _go_on(self) -> None:
        """Raise `Cancelled` if the plan was cancelled: nothing more is made then."""
        if self.cancel.is_set():
            raise wait.Cancelled("the plan was cancelled")

    def _make_network(self, action: MakeNetwork) -> Network:
        us = ourselves()
        name, spec = self.spec.name, self.spec.public().to_json()
        segment = action.segment
        carried = labels.of_lab(name, spec, segment.name, user=us.user, host=us.host, version=our_version())
        first = segment.name == self.spec.segments[0].name
        return underlay.make(
            self.engine,
            f"lab-{name}" if first else f"lab-{name}.{segment.name}",
            action.subnets,
            carried,
            internal=not action.bare,
            mtu=segment.mtu,
            swarm=self.fleet.is_several,
        )

    def _make_node(self, node: NodeSpec) -> None:
        carried = labels.of_machine(self.spec.name, node.name, node.watched)
        self._go_on()
        engine = self.fleet.engine(node.engine)
        container = engine.create(
            node_config(
                self.spec,
                node,
                prefix=f"lab-{self.spec.name}",
                networks=self.networks,
                image=self.images.node,
                seed=self.images.seed,
                labels=carried,
            )
        )
        self._go_on()
        engine.put_files(container, self.files[node.name])
        self._go_on()
        try:
            engine.start(container)
        except LabError as error:
            if self.spec.privileged:
                error.hint = (
                    "The lab file says privileged: true; an engine that may not give it works without."
                )
            raise
        (running,) = engine.containers(carried)
        subnets = self.spec.subnets_of({name: item.underlay for name, item in self.networks.items()})
        self.nodes[node.name] = Node(engine, running, interfaces(node, subnets)[0].ip)

    def _wait_for_unit(self, node: Node, unit: str) -> None:
        try:
            node.start_service(unit, cancel=self.cancel)
        except LabError as error:
            (spec,) = [item for item in self.spec.nodes if item.name == node.name]
            if spec.flanneld.program is not None and not error.hint:
                error.hint = "\n".join(filter(None, (self._wrong_store(node), OWN_DAEMON)))
            raise

    def _wrong_store(self, node: Node) -> str:
        try:
            said = node.run(["flanneld", "-version"], check=False, within=PACKET.seconds).output
        except NoAnswer:  # it does something else than to tell its version: then nothing is known of it
            return ""
        return wrong_store(said, self.spec.etcd_api)

    def _verify(self) -> None:
        self.lab = Lab.get(self.engine, self.spec.name)
        self.findings = settled(self.lab, self.cancel)

    def _await_etcd(self, argv: Sequence[str], name: str, what: str) -> None:
        """Run a command on a member of etcd until it succeeds: it may not have a leader yet."""
        node = self.nodes[name]
        node.start_service("etcd", cancel=self.cancel)

        def done() -> bool | wait.NotYet:
            ended = node.run(argv, check=False)
            return ended.exit_code == 0 or wait.NotYet(ended.output.strip())

        wait.until(done, what=f"{what} on {name}", timeout=CONFIG_TAKEN.seconds, cancel=self.cancel)
