"""A lab's beginning and end: up, down, and the removal of what a killed run left."""

import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from lab import checks, images, labels, lock, wait
from lab.cluster import underlay
from lab.cluster.lab import Lab, maker_of, names, remove_all
from lab.cluster.perform import perform
from lab.cluster.plan import (
    Action,
    CreatePod,
    MakeImages,
    MakeNetwork,
    MakeNode,
    PutConfig,
    Step,
    Verify,
    WaitForDocker,
    node_config,
    plan_up,
)
from lab.deadlines import CONFIG_TAKEN, PACKET, SETTLED
from lab.engine import Engine, EngineUnavailable, FileContent, Network
from lab.errors import LabError, NoAnswer, Unfit
from lab.events import Reporter
from lab.labels import HOST, NAME
from lab.naming import Maker, name_option, our_version, ourselves
from lab.node import Node, kubelet
from lab.node.files import SPEC_FILE, node_files, spec_keeper
from lab.signals import shielded
from lab.spec import LabSpec, NodeSpec, wrong_store

__all__ = ["Outcome", "another_maker", "build", "down", "foresee", "gc", "up"]

OWN_DAEMON = "What a flanneld of your own must do, and what is read of it: docs/own-daemon.md"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `lab up` came to."""

    lab: Lab
    findings: tuple[checks.Finding, ...]
    made: bool
    """False when the lab was up already and nothing was done."""


def up(engine: Engine, spec: LabSpec, progress: Reporter, *, retain: bool = False) -> Outcome:
    """Bring a lab up, whole; or, if it is up, look at it.

    What a killed run left under this name is removed first. When a step fails, or on Ctrl-C, everything
    that was made is removed again, unless `retain`; what could not be is told in notes of the exception.
    Raises `LabError`.
    """
    with lock.held(engine.id, spec.name):
        there = Lab.find(engine, spec.name)
        if there is not None and there.complete:
            return _look(there, spec)
        _refuse_anothers(engine, spec.name)
        for leftover in _remove(engine, spec.name):
            progress.note(f"removed what an unfinished run left: {leftover}")
        return build(engine, spec, progress, retain=retain, finish=True)


def foresee(spec: LabSpec) -> tuple[tuple[Step, ...], str]:
    """The steps that `up` would take now, and in words what it would find; it makes and starts nothing.

    Raises `LabError` where `up` would, for what can be seen beforehand.
    """
    steps = plan_up(spec)
    try:
        engine = Engine.connect()
    except EngineUnavailable as error:
        return steps, f"An engine first: {error.message}"
    there = Lab.find(engine, spec.name)
    if there is None:
        return steps, ""
    if there.complete:
        _must_be(there, spec)
        return (replace(steps[-1], needs=frozenset()),), f"The lab {spec.name} is up already."
    if lock.is_held(engine.id, spec.name):
        return steps, f"Another process is working on the lab {spec.name} right now."
    _refuse_anothers(engine, spec.name)
    return steps, f"What an unfinished run left of the lab {spec.name} would be removed first."


def _look(there: Lab, spec: LabSpec) -> Outcome:
    _must_be(there, spec)
    return Outcome(there, tuple(checks.run_all(there)), made=False)


def _must_be(there: Lab, spec: LabSpec) -> None:
    """Raise unless the lab that is up is whole, and the one that is wanted."""
    again = f"First: lab down{name_option(spec.name)}; then this again."
    if there.maker != ourselves():
        again = f"{there.maker} made it; a lab of one's own has another --name, which LAB_NAME sets."
    if there.missing:
        raise LabError(f"the lab {spec.name} is up, but not whole: {', '.join(there.missing)}", hint=again)
    made_from = there.node(spec_keeper(there.spec)).run(["cat", SPEC_FILE], check=False).output
    if there.spec != spec.public() or made_from != spec.to_json():
        raise LabError(f"the lab {spec.name} is up, but was made from another lab file", hint=again)


def build(
    engine: Engine, spec: LabSpec, progress: Reporter, *, retain: bool = False, finish: bool = False
) -> Outcome:
    """Make a lab from nothing; the caller holds its lock. Raises `LabError`, having removed what it made.

    With `finish` it gets the mark of completeness: last of all, so that it is there only if everything else
    is. Signals are heeded while steps are waited for, and at no other moment: what is left is the whole lab,
    or nothing, or told in a note of the exception.
    """
    files = {node.name: node_files(spec, node, engine.arch) for node in spec.nodes}
    making = _Making(engine, spec, files)
    with shielded() as signals:
        try:
            perform(
                plan_up(spec),
                making.act,
                progress,
                making.cancel,
                signals,
                lasting=(MakeNetwork, MakeNode),
            )
            outcome = Outcome(making.lab, making.findings, made=True)
            if finish:
                signals.heed()
                engine.create_volume(f"lab-{spec.name}-complete", labels.of_mark(spec.name))
        except BaseException as error:
            if retain:
                progress.note(f"left as it is (--retain); remove it with: lab down{name_option(spec.name)}")
            else:
                with progress.step("remove what was made (lab up --retain leaves it to look at)"):
                    _undo(making, error)
            raise
    return outcome


def _undo(making: "_Making", error: BaseException) -> None:
    """Remove what was made; what may be left all the same is told with the error."""
    try:
        _remove(making.engine, making.spec.name)
    except LabError as failed:
        error.add_note("\n".join([f"Not all of it could be removed: {failed.message}", *failed.__notes__]))
    if making.unsure:
        what = ", ".join(sorted(making.unsure))
        error.add_note(
            f"The engine may still be at work on this: {what}. Once it has ended, remove what it left: lab gc"
        )


def _remove(engine: Engine, name: str) -> Sequence[str]:
    """Remove all of a lab, which no signal disturbs; answers what was removed, in words."""
    with shielded():
        try:
            return list(remove_all(engine, name))
        except LabError as error:
            error.add_note(f"Remove what is left of the lab {name} with: lab down{name_option(name)}")
            raise


class _Making:
    """The effects of a plan's actions, and what they hand to each other."""

    def __init__(
        self,
        engine: Engine,
        spec: LabSpec,
        files: Mapping[str, Mapping[str, FileContent]],
    ) -> None:
        self.engine = engine
        self.spec = spec
        self.files = files
        self.cancel = threading.Event()
        self.images: images.Images
        self.network: Network
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
            case MakeNetwork():
                with self._asked("network"):
                    self.network = self._make_network(action)
            case MakeNode(node):
                with self._asked(f"node {node.name}"):
                    self._make_node(node)
            case PutConfig():
                self._put_config(action)
            case WaitForDocker(node):
                self._wait_for_docker(self.nodes[node])
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
        """Raise `Cancelled` if the plan was called off: nothing more is made then."""
        if self.cancel.is_set():
            raise wait.Cancelled("the plan was called off")

    def _make_network(self, action: MakeNetwork) -> Network:
        us = ourselves()
        name, spec = self.spec.name, self.spec.public().to_json()
        carried = labels.of_lab(name, spec, user=us.user, host=us.host, version=our_version())
        return underlay.make(self.engine, name, action.underlays, carried, internal=not action.bare)

    def _make_node(self, node: NodeSpec) -> None:
        subnet = self.network.underlay
        carried = labels.of_machine(self.spec.name, node.name, node.services)
        self._go_on()
        container = self.engine.create(
            node_config(
                self.spec,
                node,
                network=self.network.name,
                addresses={item.name: subnet[item.host] for item in self.spec.nodes},
                image=self.images.node,
                seed=self.images.seed,
                labels=carried,
            )
        )
        self._go_on()
        self.engine.put_files(container, self.files[node.name])
        self._go_on()
        try:
            self.engine.start(container)
        except LabError as error:
            if self.spec.privileged:
                error.hint = (
                    "The lab file says privileged: true; an engine that may not give it works without."
                )
            raise
        (running,) = self.engine.containers(carried)
        self.nodes[node.name] = Node(self.engine, running, subnet[node.host])

    def _wait_for_docker(self, node: Node) -> None:
        try:
            node.start_service("docker", cancel=self.cancel)
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
        """Look until all is right, for a moment: a flanneld may be about to make the last route."""

        self.lab = Lab.get(self.engine, self.spec.name)

        def right() -> bool | wait.NotYet:
            self.findings = tuple(checks.run_all(self.lab))
            return all(finding.ok for finding in self.findings) or wait.NotYet("told by the findings")

        with suppress(wait.TimedOut):  # then the findings say what is wrong
            wait.until(right, what="every check to hold", timeout=SETTLED.seconds, cancel=self.cancel)

    def _put_config(self, action: PutConfig) -> None:
        etcd = self.nodes[action.node]
        etcd.start_service("etcd", cancel=self.cancel)

        def put() -> bool | wait.NotYet:
            done = etcd.run(action.argv, check=False)
            return done.exit_code == 0 or wait.NotYet(done.output.strip())

        what = f"etcd on {etcd.name} to take the configuration"
        wait.until(put, what=what, timeout=CONFIG_TAKEN.seconds, cancel=self.cancel)


def another_maker(engine: Engine, name: str) -> Maker | None:
    """Who made the lab of this name, if that was not us."""
    maker = maker_of(engine, name)
    return None if maker == ourselves() else maker


def _refuse_anothers(engine: Engine, name: str) -> None:
    maker = another_maker(engine, name)
    if maker is not None:
        raise Unfit(
            f"the lab {name} is not ours: {maker} made it, and this is {ourselves()}",
            hint=f"To remove it all the same: lab down{name_option(name)} --force\n"
            "A lab of one's own has another --name, which LAB_NAME sets for all commands.",
        )


def down(engine: Engine, name: str, *, force: bool = False) -> Sequence[str]:
    """Remove a lab, another's only if `force`; answers what was removed: nothing, if there is none.

    Raises `LabError` when it is being made, or somebody else has made it.
    """
    with lock.held(engine.id, name), shielded():
        if not force:
            _refuse_anothers(engine, name)
        return _remove(engine, name)


def gc(engine: Engine) -> Sequence[str]:
    """Remove what killed runs left: unfinished labs made on this machine that no process works on.

    Also what a killed image build left. Answers what was removed, in words.
    """
    removed = [f"unfinished {name}" for name in images.sweep(engine)]
    for name in names(engine):
        if not _is_left(engine, name):
            continue
        try:
            with lock.held(engine.id, name):
                if _is_left(engine, name):  # and was not finished meanwhile
                    removed += _remove(engine, name)
        except lock.Busy:
            continue
    return removed


def _is_left(engine: Engine, name: str) -> bool:
    """Whether what there is of a lab was made on this machine, and never finished."""
    networks = engine.networks({NAME: name})
    if any(item.labels.get(HOST) != socket.gethostname() for item in networks):
        return False
    return not (networks and engine.volumes(labels.of_mark(name)))
