"""Commands on machines: deadlines, and input that does not come to its end."""

import shlex
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.cli import nodes
from lab.engine import STDERR, STDOUT, Container, Ended, Engine, Exec, ExecResult
from lab.errors import CommandError, LabError, NoAnswer
from lab.node import Node
from lab.wait import TimedOut
from tests.lab.one_by_one import OneByOne


class Session(Exec):
    """A command that prints `output` once its input has ended; one without output never ends by itself."""

    def __init__(self, output: Sequence[tuple[int, bytes]] | None = None) -> None:
        self.output = output
        self.received: list[bytes] = []
        self.input_ended = threading.Event()

    def frames(self, within: float | None = None) -> Generator[tuple[int, bytes], None, None]:
        assert within is not None
        if self.output is None:
            raise TimeoutError("timed out")
        yield from self.output

    def send(self, data: bytes) -> None:
        self.received.append(data)

    def end_input(self) -> None:
        self.input_ended.set()

    def exit_code(self) -> int:
        return 0


class WaitsForInput(Session):
    """As `docker load`: it ends when its input has."""

    def frames(self, within: float | None = None) -> Generator[tuple[int, bytes], None, None]:
        assert within is not None
        assert self.input_ended.wait(60)
        yield STDOUT, b"loaded"


class OneCommand(Engine):
    """An engine whose every command is this one."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def open_exec(self, *_args: object, **_options: object) -> Exec:
        return self.session


def test_a_commands_streams_are_kept_apart():
    session = Session([(STDOUT, b"out"), (STDERR, b"err"), (STDOUT, b"put")])
    assert OneCommand(session).exec("c", ["true"]) == ExecResult(0, b"output", b"err")


def test_a_command_that_does_not_end_is_given_up_and_told():
    session = Session()
    with pytest.raises(NoAnswer, match=r"container 0123456789ab: no answer within 3 s from: flanneld -ver"):
        OneCommand(session).exec("0123456789abcdef", ["flanneld", "-version"], within=3)


def test_input_that_fails_ends_the_command_and_its_failure_is_raised():
    def archive() -> Iterator[bytes]:
        yield b"half"
        raise LabError("saving tiny@sha256:0123: no such tag")

    session = WaitsForInput()
    with pytest.raises(LabError, match="saving tiny@sha256:0123: no such tag"):
        OneCommand(session).exec("c", ["docker", "load"], stdin=archive())
    assert session.received == [b"half"]


def test_a_command_that_reads_nothing_of_its_input_is_well():
    class Closed(Session):
        def send(self, data: bytes) -> None:
            raise BrokenPipeError(f"{data!r} is read by nobody")

    assert OneCommand(Closed([(STDOUT, b"done")])).exec("c", ["true"], stdin=[b"much"]).stdout == b"done"


LABELS = {"lab.node": "centos-minion01", "lab.name": "demo", "lab.services": "flanneld docker"}
MACHINE = Container("c", "demo", LABELS, "running", "Up")


class Machine(OneByOne, Engine):
    """An engine on which systemd has been told to start docker, and flanneld never says that it is ready."""

    SHOW = """\
Result=success
NRestarts=0
Id=flanneld.service
ActiveState=activating
SubState=start
InactiveExitTimestamp=@1795897865

Result=success
NRestarts=0
Id=docker.service
ActiveState=inactive
SubState=dead
"""

    def __init__(self, answers: Mapping[str, tuple[int, str]]) -> None:
        self.answers = {"systemctl show": (0, self.SHOW), **answers}
        self.deadlines: list[float | None] = []

    def exec(
        self,
        _container: str,
        argv: Sequence[str],
        *,
        stdin: Iterable[bytes] | None = None,
        environment: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> ExecResult:
        assert stdin is None
        assert environment is None
        self.deadlines.append(within)
        command = " ".join(argv)
        for words, (status, text) in self.answers.items():
            if words in command:
                return ExecResult(status, text.encode(), b"")
        return ExecResult(0, b"", b"")

    def containers(self, _labels: object) -> tuple[Container, ...]:
        return (MACHINE,)


def node(engine: Engine) -> Node:
    return Node(engine, MACHINE, IPv4Address("192.168.199.52"))


def test_a_flanneld_that_never_says_ready_is_told_with_what_it_logged(monkeypatch):
    monkeypatch.setenv("LAB_PATIENCE", "1e-6")
    engine = Machine({"systemctl start": (124, ""), "journalctl --no": (0, "mydaemon runs\n")})
    with pytest.raises(TimedOut) as error:
        node(engine).start_service("docker")
    assert error.value.message == (
        "waited 0 s for docker on centos-minion01; last seen: flanneld has been running since 20:31:05 UTC, "
        "and has not told systemd READY=1\nflanneld: mydaemon runs"
    )


def test_a_flanneld_that_has_failed_is_told_at_once_with_the_line_that_says_why():
    usage = "flag provided but not defined: -ifcae\nUsage: flanneld [OPTION]...\n" + "  -x\n    \tit\n" * 60
    engine = Machine(
        {
            "systemctl start": (1, "A dependency job failed.\n"),
            "systemctl show": (0, "Id=flanneld.service\nActiveState=failed\nNRestarts=0\n"),
            "journalctl --no": (0, usage),
        }
    )
    with pytest.raises(LabError) as error:
        node(engine).start_service("docker")
    assert error.value.message == (
        "centos-minion01: docker cannot start, because flanneld.service failed\n"
        "flanneld: flag provided but not defined: -ifcae"
    )


def test_every_command_on_a_machine_has_a_deadline():
    engine = Machine({"false": (1, "no\n")})
    with pytest.raises(CommandError, match="centos-minion01: exit status 1 from: lab exec"):
        node(engine).run(["false"])
    node(engine).run(["true"], within=5)
    assert all(engine.deadlines)


@pytest.mark.parametrize("stdin", [None, b"given"])
def test_a_command_that_fails_is_told_as_it_can_be_pasted_with_one_hint(stdin: bytes | None):
    argv = ["sh", "-c", "echo 'a  b' $0 >&2; exit 3", "--name", "$HOME"]
    with pytest.raises(CommandError) as told:
        node(Fails({})).run(argv, stdin=stdin)
    first, output = told.value.message.splitlines()
    where, _, pasted = first.partition(" from: ")
    assert (where, output) == ("centos-minion01: exit status 3", "    it failed")
    program, verb, *words = shlex.split(pasted)
    assert [program, verb] == ["lab", "exec"]
    (command,) = [found for found in nodes.COMMANDS if found.name == verb]
    read = command.make_context(verb, words).params
    assert read["node"] == "centos-minion01"
    assert read["command"] == tuple(argv)
    assert (read["name"], read["stdin"]) == ("demo", stdin is not None)
    assert len(told.value.hint.splitlines()) == 1
    assert told.value.hint.endswith("lab logs --name demo centos-minion01")


class Fails(Machine):
    """Every command ends with 3."""

    def exec(self, *_: object, **__: object) -> ExecResult:
        return ExecResult(3, b"", b"it failed\n")


def test_a_command_that_was_killed_in_time_by_somebody_else_is_not_told_to_have_hung():
    assert node(Machine({"victim": (137, "")})).run(["victim"], check=False).exit_code == 137


def test_a_command_that_was_killed_at_its_deadline_did_not_end_in_time():
    class Deaf(Machine):
        def run(self, *_: object) -> Mapping[str, Ended]:
            return {"": Ended(124, b"", b"", "all")}

    engine: Any = Deaf({})
    with pytest.raises(
        NoAnswer,
        match="centos-minion01: no answer within 0 s from: lab exec --name demo centos-minion01 -- deaf",
    ):
        node(engine).run(["deaf"], within=0)
