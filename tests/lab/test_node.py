"""A machine of a lab, on an engine that only remembers."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import cast

import pytest

from lab import wait
from lab.engine import STDOUT, Container, Engine, Exec, ExecResult
from lab.errors import LabError, NoAnswer
from lab.node import Node
from lab.node.node import Talk
from lab.node.services import parse_failed
from tests.lab.one_by_one import OneByOne


class HangingEngine(OneByOne):
    """No command on its machines ever ends."""

    def exec(self, _container, _argv, *, within, **_):
        assert within is not None
        raise NoAnswer("container id", "ip", within)


def test_a_machine_that_does_not_answer_is_named_with_the_time_that_it_had(monkeypatch):
    monkeypatch.setenv("LAB_PATIENCE", "0.01")
    container = Container("id", "lab-x-a", {"lab.node": "a", "lab.name": "x"}, "running", "Up")
    node = Node(cast(Engine, HangingEngine()), container, IPv4Address("192.0.2.1"))
    with pytest.raises(NoAnswer, match="a: no answer within 6 s from: lab exec --name x a") as told:
        node.run(["ip", "-json", "link"])
    assert (told.value.where, told.value.what, told.value.seconds) == (
        "a",
        "lab exec --name x a -- ip -json link",
        6,
    )
    assert "LAB_PATIENCE" in told.value.hint


class PausedEngine:
    """An engine with a machine that stands still: what is asked of it is not answered."""

    def run(self, _container: str, _commands: object, _within: float, heed: Callable[[], None]) -> None:
        def heeded() -> wait.NotYet:
            heed()
            return wait.NotYet("nothing")

        wait.until(heeded, what="a word", timeout=60)

    def containers(self, _labels: object) -> tuple[Container, ...]:
        return (Container("9d5b", "lab-demo-centos-master", LABELS, "paused", "Up 1 second (Paused)"),)


def test_a_machine_that_is_paused_while_a_command_runs_is_not_waited_for():
    running = Container("9d5b", "lab-demo-centos-master", LABELS, "running", "Up 1 second")
    node = Node(cast(Engine, PausedEngine()), running, IPv4Address("192.168.200.51"))
    with pytest.raises(LabError, match="centos-master stands still: its container is paused"):
        node.run(["true"])


LABELS = {"lab.name": "demo", "lab.node": "centos-master", "lab.services": "etcd"}


class EndedEngine(OneByOne):
    """An engine on which a machine's first program has ended."""

    def containers(self, labels: Mapping[str, str]) -> tuple[Container, ...]:
        assert labels.items() <= LABELS.items()
        return (Container("9d5b", "lab-demo-centos-master", LABELS, "exited", "Exited (1) 2 seconds ago"),)

    def exec(self, container: str, argv: Sequence[str], **_: object) -> ExecResult:
        raise LabError(f"running {argv[0]} in container {container}: Container {container} is not running")

    def container_logs(self, container: str, lines: int) -> str:
        assert (container, lines > 0) == ("9d5b", True)
        return "lab-init: LAB_SERVICES is 'ectd'\n"


def test_a_machine_that_has_ended_tells_its_last_words():
    running = Container("9d5b", "lab-demo-centos-master", LABELS, "running", "Up 1 second")
    node = Node(cast(Engine, EndedEngine()), running, IPv4Address("192.168.200.51"))
    with pytest.raises(LabError) as failed:
        node.start_service("etcd")
    assert failed.value.message == (
        "centos-master has ended (Exited (1) 2 seconds ago): lab-init: LAB_SERVICES is 'ectd'"
    )


def unit(name: str, state: str, restarts: int | None) -> str:
    """As systemctl shows it; a unit that is no service has no restarts."""
    return (f"NRestarts={restarts}\n" if restarts is not None else "") + f"Id={name}\nActiveState={state}\n"


class SlowEngine(OneByOne):
    """A machine on which a command takes 10 s, and etcd some minutes to start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.joined: list[float] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now)

    def exec(self, _container: str, argv: Sequence[str], **_: object) -> ExecResult:
        if argv[0] == "timeout":
            self.joined.append(float(argv[1]))
            self.now += self.joined[-1]
            return ExecResult(0 if self.now > 400 else 124, b"", b"")
        self.now += 10
        return ExecResult(0, b"", b"")


def test_where_a_look_at_what_holds_a_unit_up_takes_long_there_are_few(monkeypatch):
    monkeypatch.delenv("LAB_PATIENCE", raising=False)
    engine = SlowEngine(monkeypatch)
    running = Container("9d5b", "lab-demo-centos-master", LABELS, "running", "Up 1 second")
    Node(cast(Engine, engine), running, IPv4Address("192.168.200.51")).start_service("etcd")
    first, *others = engine.joined
    assert first == 2
    assert len(others) <= 3
    assert sum(engine.joined) > 0.75 * engine.now


def test_a_unit_has_failed_when_systemd_gave_up_or_starts_it_in_vain():
    shown = [
        unit("flanneld.service", "activating", 3),
        unit("docker.service", "inactive", 0),
        unit("etcd.service", "active", 7),  # it came back
        unit("containerd.service", "activating", 1),
        unit("lab-store.service", "failed", 0),
        unit("tmp.mount", "failed", None),
    ]
    assert parse_failed("\n".join(shown)) == ["flanneld.service", "lab-store.service", "tmp.mount"]
    # What has failed may be about to be started while a job waits.
    assert parse_failed("\n".join(shown), waits=True) == ["flanneld.service"]


def test_a_systemd_that_does_not_answer_yet_tells_of_no_unit():
    assert parse_failed("") == parse_failed("\n") == []


class SlowSession:
    """A command that prints nothing until it is given an empty line, and ends a moment after."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def frames(self) -> Iterator[tuple[int, bytes]]:
        assert self.ended.wait(60)
        yield STDOUT, b"too late\n"

    def send(self, data: bytes) -> None:
        assert data == b"\n"
        threading.Timer(0.2, self.ended.set).start()


def test_a_talk_whose_answer_was_given_up_can_still_be_ended() -> None:
    session = SlowSession()
    talk = Talk("probe on a", cast(Exec, session))
    with pytest.raises(LabError, match="probe on a did not answer in 0 s"):
        talk.hear(0.01)
    talk.end(60)
    assert session.ended.is_set()
