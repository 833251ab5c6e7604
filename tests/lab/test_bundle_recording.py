"""Who has machines keep their last packets: begun on each, again after a reboot, ended with the context."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, cast

from lab import labels, wait
from lab.bundle.recording import recording
from lab.cluster import Lab
from lab.cluster.fleet import Fleet
from lab.engine import STDERR, Container, Engine, Exec, Network
from lab.errors import LabError
from lab.events import Kept, Reporter
from lab.node import Node
from tests.lab.examples import SPEC, UNDERLAY

NAMES = [node.name for node in SPEC.nodes]


@dataclass
class Session:
    """A command that runs until it is ended, or its machine goes down."""

    said: bytes = b""
    gone: bool = False
    over: threading.Event = field(default_factory=threading.Event)

    def frames(self, _within: float | None = None) -> Iterator[tuple[int, bytes]]:
        if self.said:
            yield STDERR, self.said
            return
        self.over.wait()

    def send(self, _data: bytes) -> None:
        if self.gone:
            raise BrokenPipeError

    def hurry(self, _within: float) -> None:
        pass

    def end_input(self) -> None:
        self.over.set()

    def ended(self) -> bool:
        return True


@dataclass
class Machines:
    """An engine with the tutorial's machines."""

    said: bytes = b""
    """What a command complains of before it ends at once."""
    goes: str = ""
    """The machine that goes down just when a command is begun on it for the first time."""
    states: dict[str, str] = field(default_factory=lambda: dict.fromkeys(NAMES, "running"))
    sessions: dict[str, list[Session]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def container(self, name: str) -> Container:
        own = {labels.NAME: SPEC.name, labels.NODE: name}
        return Container(name, name, own, self.states[name], "")

    def containers(self, wanted: Mapping[str, str]) -> tuple[Container, ...]:
        return (self.container(wanted[labels.NODE]),)

    def open_exec(self, container: str, argv: list[str], **_: Any) -> Exec:
        assert argv[-1] == "eth0"
        if self.states[container] != "running":
            raise LabError("it does not run")
        gone = not self.sessions[container] and container == self.goes
        self.sessions[container].append(Session(self.said, gone))
        return cast(Exec, self.sessions[container][-1])

    @property
    def lab(self) -> Lab:
        engine = cast(Engine, self)
        nodes = {name: Node(engine, self.container(name), IPv4Address("192.0.2.1")) for name in NAMES}
        network = Network("n", "n", {labels.NAME: SPEC.name}, (str(UNDERLAY),))
        return Lab(engine, SPEC, network, {}, nodes, Fleet.of(engine, ()))

    def runs(self, name: str, times: int) -> Callable[[], bool | wait.NotYet]:
        return lambda: len(self.sessions[name]) == times or wait.NotYet(self.sessions)


def eventually(probe: Callable[[], bool | wait.NotYet]) -> None:
    wait.until(probe, what="machines to keep packets", timeout=20)


def test_every_machine_keeps_packets_until_the_context_is_left() -> None:
    machines = Machines()
    with recording(machines.lab, Reporter()):
        for name in NAMES:
            eventually(machines.runs(name, 1))
        assert not any(session.over.is_set() for found in machines.sessions.values() for session in found)
    assert all(session.over.is_set() for found in machines.sessions.values() for session in found)


def test_a_machine_that_is_rebooted_begins_anew_once_it_runs() -> None:
    machines = Machines()
    first, other, _ = NAMES
    with recording(machines.lab, Reporter()):
        eventually(machines.runs(first, 1))
        eventually(machines.runs(other, 1))
        machines.states[first] = "exited"
        machines.sessions[first][0].over.set()
        machines.states[first] = "running"
        eventually(machines.runs(first, 2))
        assert len(machines.sessions[other]) == 1


def test_a_machine_that_cannot_is_told_once_and_not_asked_again() -> None:
    machines = Machines(said=b"Traceback\nOSError: [Errno 1] Operation not permitted\n")
    kept = Kept()
    with recording(machines.lab, Reporter(kept)):
        eventually(lambda: len(kept.events) == len(NAMES) or wait.NotYet(kept.events))
    assert {event["text"] for event in kept.events} == {
        f"{name} keeps no packets: OSError: [Errno 1] Operation not permitted" for name in NAMES
    }
    assert {len(found) for found in machines.sessions.values()} == {1}


def test_a_machine_that_goes_down_just_then_is_asked_again() -> None:
    machines = Machines(goes=NAMES[0])
    with recording(machines.lab, Reporter()):
        eventually(machines.runs(NAMES[0], 2))


def test_a_machine_that_does_not_run_hinders_nobody() -> None:
    machines = Machines()
    machines.states = {**machines.states, NAMES[0]: "paused"}
    with recording(machines.lab, Reporter()):
        eventually(machines.runs(NAMES[1], 1))
    assert machines.sessions[NAMES[0]] == []
