"""Starting and ending faults: what machines and the engine are asked for, in which order, come what may."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest

from lab import threads
from lab.cli import group
from lab.cluster import Lab
from lab.engine import Container, ExecResult
from lab.errors import LabError, NoAnswer, Unfit
from lab.faults import control
from lab.faults.inside import main
from lab.faults.inside.kinds import EVENTS, STATES, Failed, Given, Refused, Saved, Seen, State
from lab.faults.inside.records import Records
from lab.spec.segment import ONLY
from tests.lab.examples import SPEC, UNDERLAY
from tests.schemas import problems

MASTER, ONE, TWO = "centos-master", "centos-minion01", "centos-minion02"


class Paused(State):
    """Stands in for what a machine does to a unit; `broken` has the machines where that fails."""

    paused: ClassVar[set[str]] = set()
    broken: ClassVar[dict[str, Exception]] = {}
    here: ClassVar[str] = ""
    ended: ClassVar[list[str]] = []

    @property
    def _what(self) -> str:
        return f"{self.here}/{self.given['unit']}"

    @property
    def changes(self) -> Sequence[str]:
        return (self._what,)

    def save(self) -> Saved:
        if self.here in self.broken:
            raise self.broken[self.here]
        return {}

    def start(self) -> None:
        self.paused.add(self._what)

    def seen(self) -> Seen:
        return Seen(self._what in self.paused, self._what)

    def stop(self) -> None:
        self.ended.append(self._what)
        self.paused.discard(self._what)


@dataclass
class Machine:
    """Answers as the program on a machine does, by that program, with records of its own."""

    name: str
    folder: Path
    container: Container
    hangs: bool = False
    engine: "World | None" = None

    def run(self, argv: Sequence[str], *, within: float) -> ExecResult:
        assert argv[:2] == ["/usr/bin/python3", "-IS"]
        if self.hangs:
            raise NoAnswer(self.name, "python3", within)
        Paused.here = self.name
        verb, request = argv[3], json.loads(argv[4])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(main, "Records", lambda: Records(self.folder))
            return ExecResult(0, json.dumps(main.answer(verb, request)).encode(), b"")


@dataclass
class World:
    """A lab whose machines are in this process, and its engine."""

    nodes: dict[str, Machine]
    asked: list[str] = field(default_factory=list)
    name = "demo"
    spec = SPEC
    underlay = UNDERLAY
    segments = {ONLY: UNDERLAY}  # noqa: RUF012 - nobody changes it

    @property
    def engine(self) -> "World":
        return self

    @property
    def lab(self) -> Lab:
        return cast(Lab, self)

    def node(self, name: str) -> Machine:
        if self.state(name) != "running":
            raise LabError(f"the node {name} does not run: its container is {self.state(name)}")
        return self.nodes[name]

    def state(self, name: str) -> str:
        return self.nodes[name].container.state

    def _is(self, verb: str, container: str, state: str, status: str) -> None:
        self.asked.append(f"{verb} {container}")
        machine = self.nodes[container]
        machine.container = replace(machine.container, state=state, status=status)

    def pause(self, container: str) -> None:
        self._is("pause", container, "paused", "Up (Paused)")

    def unpause(self, container: str) -> None:
        self._is("unpause", container, "running", "Up")

    def kill(self, container: str) -> None:
        self._is("kill", container, "exited", "Exited (137) now")

    def stop(self, container: str, timeout: int) -> None:
        assert timeout > 0
        self._is("stop", container, "exited", "Exited (0) now")

    def start(self, container: str) -> None:
        self._is("start", container, "running", "Up")

    def restart(self, container: str, timeout: int) -> None:
        self._is(f"restart within {timeout} s", container, "running", "Up")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setitem(STATES, "unit-paused", Paused)
    for kept in (Paused.paused, Paused.broken, Paused.ended):
        kept.clear()
    nodes = {
        node.name: Machine(
            node.name, tmp_path / node.name, Container(node.name, node.name, {}, "running", "Up")
        )
        for node in SPEC.nodes
    }
    made = World(nodes)
    for machine in nodes.values():
        machine.engine = made
    # One machine after the other, since the program on a machine is in this process.
    monkeypatch.setattr("lab.threads.each", lambda act, items: [act(item) for item in items])
    monkeypatch.setattr(Lab, "get", lambda *_: made.lab)
    return made


def in_force(world: World) -> list[tuple[str, tuple[str, ...], str]]:
    return [(fault.name, fault.targets, fault.state) for fault in control.status(world.lab).faults]


def test_a_state_is_in_force_on_every_machine_until_it_is_stopped(world):
    started = control.start(world.lab, "daemon-pause", ["minions"])
    assert Paused.paused == {f"{ONE}/flanneld.service", f"{TWO}/flanneld.service"}
    targets = (f"{ONE}/flanneld.service", f"{TWO}/flanneld.service")
    assert in_force(world) == [("daemon-pause", targets, "on")]
    (ended,) = control.stop(world.lab, started.id)
    assert ended.state == "on"
    control.start(world.lab, "daemon-pause", ["minions"])
    with pytest.raises(
        LabError, match=r"no fault daemon-pause centos-minion01/flanneld\.service is in force"
    ):
        control.stop(world.lab, "daemon-pause", [ONE])
    control.stop(world.lab, "daemon-pause", ["*minion*"])
    assert (Paused.paused, in_force(world)) == (set(), [])


def test_a_state_that_fails_on_one_machine_is_undone_on_the_others(world):
    Paused.broken[TWO] = Failed("it does not run")
    with pytest.raises(LabError, match=f"{TWO}: it does not run"):
        control.start(world.lab, "daemon-pause", ["minions"])
    assert (Paused.paused, in_force(world)) == (set(), [])


def test_what_a_machine_refuses_is_refused_with_status_2_and_its_hint(world):
    Paused.broken[ONE] = Refused("no such thing here", "Root on the host can.")
    with pytest.raises(Unfit, match=f"{ONE}: no such thing here") as error:
        control.start(world.lab, "daemon-pause", [ONE])
    assert error.value.hint == "Root on the host can."


def test_clear_ends_the_latest_first(world):
    for unit in ("flanneld", "docker", "containerd"):
        control.start(world.lab, "unit-pause", [f"{ONE}/{unit}"])
    control.clear(world.lab)
    assert [what.partition("/")[2] for what in Paused.ended] == [
        "containerd.service",
        "docker.service",
        "flanneld.service",
    ]


def test_faults_nest_as_with_blocks_do(world):
    with control.held(world.lab, "daemon-pause", [ONE]), control.held(world.lab, "etcd-pause"):
        assert [name for name, _, _ in in_force(world)] == ["daemon-pause", "etcd-pause"]
    assert in_force(world) == []
    assert Paused.ended == [f"{MASTER}/etcd.service", f"{ONE}/flanneld.service"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_fault_is_ended_however_its_block_is_left(world, error):
    with pytest.raises(error), control.held(world.lab, "daemon-pause", [ONE]):
        raise error
    assert (Paused.paused, in_force(world)) == (set(), [])


def test_a_machine_that_is_paused_is_shown_and_let_go_before_its_other_faults_are_ended(world):
    control.start(world.lab, "daemon-pause", [ONE])
    control.start(world.lab, "node-pause", [ONE])
    found = control.status(world.lab)
    assert [fault.name for fault in found.faults] == ["node-pause"]
    assert found.silent == {ONE: "its container is paused"}
    assert [fault.name for fault in control.clear(world.lab)] == ["node-pause", "daemon-pause"]
    assert world.asked == [f"pause {ONE}", f"unpause {ONE}"]
    assert Paused.paused == set()


def test_a_part_that_stands_still_is_told_and_stays_until_it_can_be_ended(world):
    started = control.start(world.lab, "daemon-pause", ["minions"])
    world.pause(TWO)
    with pytest.raises(LabError, match=rf"daemon-pause is ended but for the part of: {TWO} \(paused\)"):
        control.stop(world.lab, started.id)
    world.unpause(TWO)
    assert Paused.paused == {f"{TWO}/flanneld.service"}
    assert [fault.state for fault in control.status(world.lab).faults] == ["on"]
    control.clear(world.lab)
    assert Paused.paused == set()


@pytest.mark.parametrize(("name", "verb"), [("node-stop", "stop"), ("node-kill", "kill")])
def test_a_machine_that_is_down_boots_when_that_is_ended(world, name, verb):
    control.start(world.lab, name, [TWO])
    assert in_force(world) == [(name, (TWO,), "on")]
    control.stop(world.lab, name, [TWO])
    assert world.asked == [f"{verb} {TWO}", f"start {TWO}"]


def test_a_machine_that_does_not_answer_hides_nothing_of_the_others(world):
    control.start(world.lab, "daemon-pause", ["minions"])
    world.nodes[TWO].hangs = True
    found = control.status(world.lab)
    assert [part.node for fault in found.faults for part in fault.parts] == [ONE]
    assert list(found.silent) == [TWO]
    with pytest.raises(LabError, match="not every fault could be ended:\n") as error:
        control.clear(world.lab)
    assert f"is ended but for the part of: {TWO} (running)" in error.value.message
    assert f"{TWO}: did not answer in" in error.value.message
    assert Paused.paused == {f"{TWO}/flanneld.service"}


def test_what_an_event_has_done_is_told_and_nothing_of_it_is_in_force(world, monkeypatch):
    def kill(given: Given) -> str:
        return f"{given['unit']} was sent {given['signal']}"

    monkeypatch.setitem(EVENTS, "unit-kill", kill)
    done = control.start(world.lab, "daemon-kill-9", [ONE])
    assert [(part.node, part.words) for part in done.told] == [(ONE, "flanneld.service was sent SIGKILL")]
    assert (done.id, in_force(world)) == ("", [])


def lab(*argv: str) -> int:
    return group.run(["fault", *argv, "--name", "demo"])


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("lab.engine.Engine.connect", lambda: None)
    return world


def test_the_command_line_starts_shows_and_ends(command, capsys):
    assert lab("start", "daemon-pause", ONE) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[1] == f"{ONE}: {ONE}/flanneld.service"
    identifier = told.err.split()[-1]
    assert told.err == f"End it with: lab fault stop --name demo {identifier}\n"
    assert lab("status") == 0
    assert f"{identifier}   daemon-pause" in capsys.readouterr().out
    assert lab("stop", identifier) == 0
    assert capsys.readouterr().out == f"ended {identifier} daemon-pause {ONE}/flanneld.service\n"
    assert lab("clear") == 0
    assert capsys.readouterr().out == "No fault was in force.\n"


def test_for_ends_it_after_that_time(command, capsys):
    assert lab("start", "daemon-pause", ONE, "--for", "10ms") == 0
    assert Paused.ended == [f"{ONE}/flanneld.service"]
    assert in_force(command) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["start", "daemon-puse", ONE], "there is no fault daemon-puse; did you mean daemon-pause?"),
        (["start", "daemon-pause", "centos-minion1"], "did you mean centos-minion01?"),
        (["start", "crash-loop", f"{ONE}/docker", "--evry", "1s"], "no option --evry; did you mean --every?"),
        (
            ["start", "etcd-wipe", "--for", "1s"],
            "--for: etcd-wipe is an event, which is over when it is done",
        ),
        (["start", "daemon-pause", ONE, "--for", "long"], "--for: expected a duration such as 500ms, 30s"),
        (["stop", "daemon-puse"], "there is no fault daemon-puse; did you mean daemon-pause?"),
        (["start", "etcd-slow-disk", MASTER], "etcd-slow-disk is refused: a delay of fsync takes a device"),
    ],
)
def test_wrong_usage_and_what_is_refused_is_status_2_and_one_line(
    command, capsys, argv: list[str], words: str
):
    assert lab(*argv) == 2
    assert words in capsys.readouterr().err.splitlines()[0]
    assert Paused.paused == set()


def test_the_document_of_a_start_names_what_ends_it(command, capsys):
    assert lab("start", "daemon-pause", ONE, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["fault"] == "daemon-pause"
    assert problems("fault-started", document) == []
    for argv, schema in (
        (["status"], "fault-status"),
        (["stop", document["id"]], "faults-ended"),
        (["clear"], "faults-ended"),
    ):
        assert lab(*argv, "--json") == 0
        assert problems(schema, json.loads(capsys.readouterr().out)) == []


def test_a_fault_may_be_held_in_any_thread(world):
    def hold() -> list[tuple[str, tuple[str, ...], str]]:
        with control.held(world.lab, "daemon-pause", [ONE]):
            return in_force(world)

    assert [name for name, _, _ in threads.start(hold).result()] == ["daemon-pause"]
    assert in_force(world) == []
