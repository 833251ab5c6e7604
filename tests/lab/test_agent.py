"""Commands by an agent, on an engine whose containers are this machine."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import cast

import pytest

from lab import threads
from lab.engine import STDERR, STDOUT, Command, Exec, inside
from lab.engine.agents import Agents
from lab.errors import LabError
from lab.inside import program


class Session:
    """A program of this machine, as an engine's session is with one in a container."""

    def __init__(self, argv: Sequence[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        self.read = threading.Event()

    def frames(self) -> Generator[tuple[int, bytes], None, None]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with self.process.stdout as out, self.process.stderr as err:
            while data := os.read(out.fileno(), 1 << 16):
                yield STDOUT, data
            yield STDERR, err.read()
        with suppress(BrokenPipeError):
            self.end_input()
        self.read.set()

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class Here(Agents):
    """The agents of an engine whose every container is this machine."""

    def __init__(self, argv: Sequence[str] | None = None) -> None:
        super().__init__(self.start)
        self._argv = argv or [sys.executable, *program(inside, "agent")[1:]]
        self.opened: list[Session] = []

    def start(self, container: str) -> Exec:
        assert container == "c"
        session = Session(self._argv)
        self.opened.append(session)
        return cast(Exec, session)

    def say(self, *argv: str, within: float = 60, heed: Callable[[], None] = lambda: None) -> str:
        return self.run("c", {"": Command(argv)}, within, heed)[""].stdout.decode().strip()


@pytest.fixture
def agents() -> Iterator[Here]:
    made = Here()
    yield made
    end(made)


def end(agents: Here) -> None:
    agents.close()
    for session in agents.opened:
        session.process.wait(60)
        session.read.wait(60)


def test_commands_of_many_threads_have_one_program_and_each_its_own_answer(agents):
    words = [f"word {number}" for number in range(30)]
    assert threads.each(lambda word: agents.say("echo", word), words) == words
    assert len(agents.opened) == 1


def test_a_command_that_is_late_is_killed_and_told_with_what_it_had_said(agents):
    ended = agents.run("c", {"": Command(["sh", "-c", "echo so; sleep 1000"])}, 0.3)[""]
    assert (ended.exit_code, ended.stdout, ended.late) == (124, b"so\n", "all")


def test_after_a_program_has_ended_another_one_runs_the_next_command(agents):
    agents.say("true")
    (first,) = agents.opened
    first.process.kill()
    first.process.wait(60)
    assert agents.say("echo", "well") == "well"
    assert len(agents.opened) == 2


def test_commands_that_had_begun_when_the_program_ended_are_not_begun_again(agents, tmp_path):
    def heed() -> None:
        if begun.exists():
            agents.opened[0].process.kill()

    begun = tmp_path / "begun"
    with pytest.raises(LabError, match="the program that runs commands has ended: it said nothing"):
        agents.say("sh", "-c", f"touch {begun}; exec sleep 3", heed=heed)
    assert len(agents.opened) == 1


def test_what_is_too_large_for_a_machine_that_stands_still_holds_up_nobody(agents):
    agents.say("true")
    agents.opened[0].process.send_signal(signal.SIGSTOP)

    def heed() -> None:
        raise LabError("it stands still")

    for stdin in (b"x" * 5_000_000, None):
        with pytest.raises(LabError, match="it stands still"):
            agents.run("c", {"": Command(["cat"], stdin)}, 60, heed)
    agents.opened[0].process.send_signal(signal.SIGCONT)
    assert agents.say("echo", "well") == "well"


def test_much_goes_in_and_out_whole(agents):
    much = bytes(range(256)) * (1 << 13)  # twice what any pipe holds
    assert agents.run("c", {"": Command(["cat"], much)}, 60)[""].stdout == much


def test_a_command_that_ends_the_program_is_not_begun_again(agents, tmp_path):
    marks = tmp_path / "marks"
    with pytest.raises(LabError, match="has ended"):
        agents.say("sh", "-c", f"echo x >> {marks}; kill -9 $PPID; sleep 3")
    agents.say("true")
    assert marks.read_text() == "x\n"


def test_where_there_is_no_such_program_what_is_said_instead_is_told():
    agents = Here(["sh", "-c", "echo python3: not found; exit 127"])
    with pytest.raises(LabError, match="has ended: python3: not found"):
        agents.say("true")
    end(agents)


def test_what_is_given_up_before_it_began_is_not_begun(agents, tmp_path):
    agents.say("true")
    agents.opened[0].process.send_signal(signal.SIGSTOP)

    def heed() -> None:
        raise LabError("it stands still")

    with pytest.raises(LabError, match="it stands still"):
        agents.say("touch", str(tmp_path / "late"), heed=heed)
    agents.opened[0].process.send_signal(signal.SIGCONT)
    assert agents.say("echo", "well") == "well"
    assert len(agents.opened) == 1
    assert list(tmp_path.iterdir()) == []
