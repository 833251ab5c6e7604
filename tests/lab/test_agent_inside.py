"""The program that runs commands in a container, here on this machine."""

import json
import os
import signal
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from typing import Any

import pytest

from lab import wait
from lab.engine import inside
from lab.engine.inside import agent as agent_program
from lab.inside import program


class Program:
    """The program, as its far end has it."""

    def __init__(self) -> None:
        argv = [sys.executable, *program(inside, "agent")[1:]]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def send(self, number: int, within: float, **commands: Any) -> None:
        asked = {
            name: command if isinstance(command, dict) else {"argv": command}
            for name, command in commands.items()
        }
        line = json.dumps({"id": number, "commands": asked, "within": within}).encode() + b"\n"
        assert self.process.stdin is not None
        self.write(line)

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def go(self, number: int, go: bool = True) -> None:
        assert self.hear() == {"id": number, "ready": True}
        self.write(json.dumps({"id": number, "go": go}).encode() + b"\n")

    def hear(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def run(self, within: float = 60, **commands: Any) -> dict[str, tuple[str, str, int, str]]:
        self.send(7, within, **commands)
        self.go(7)
        answer = self.hear()
        assert answer["id"] == 7
        return {
            name: (text(ended["out"]), text(ended["err"]), ended["exit"], ended["late"])
            for name, ended in answer["ended"].items()
        }

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(60)


def text(data: str) -> str:
    return b64decode(data).decode(errors="surrogateescape")


@pytest.fixture
def agent() -> Iterator[Program]:
    made = Program()
    yield made
    assert made.end() == 0
    assert made.process.stdout is not None
    made.process.stdout.close()


def gone(group: str) -> bool | wait.NotYet:
    listed = subprocess.run(["ps", "-o", "stat=", "-g", group], capture_output=True, text=True, check=False)
    alive = [state for state in listed.stdout.split() if not state.startswith("Z")]
    return wait.NotYet(alive) if alive else True


def test_every_command_ends_with_its_own_streams_and_status(agent):
    ends = agent.run(one=["sh", "-c", "echo out; echo err >&2; exit 3"], two=["printf", "%s", "a b"])
    assert ends == {"one": ("out\n", "err\n", 3, ""), "two": ("a b", "", 0, "")}


def test_a_command_is_given_its_input_or_none(agent):
    given = {"argv": ["cat"], "input": b64encode("größe\n".encode()).decode()}
    assert agent.run(given=given, none=["cat"]) == {"given": ("größe\n", "", 0, ""), "none": ("", "", 0, "")}


def test_a_program_that_is_not_there_is_told_as_a_shell_tells_it(agent):
    assert agent.run(one=["no-such-program"]) == {
        "one": ("", "no-such-program: No such file or directory\n", 127, "")
    }


def test_a_command_that_a_signal_has_ended_is_told_as_a_shell_tells_it(agent):
    # timeout(1) kills itself with the signal that it was told to send, and a shell adds 128 to its number.
    ends = agent.run(late=["timeout", "--signal=KILL", "0.1", "sleep", "1000"])
    assert ends["late"][2] == 128 + signal.SIGKILL


def test_a_command_that_heeds_nothing_is_killed_with_its_children_and_keeps_what_it_had_said(agent):
    deaf = 'trap "" TERM; printf "%s\n" $$ said; (trap "" TERM; exec sleep 1000) & sleep 1000'
    ends = agent.run(0.5, deaf=["sh", "-c", deaf], quick=["true"])
    out, _, status, late = ends["deaf"]
    group, said = out.split()
    assert (said, status, late, ends["quick"]) == ("said", 124, "all", ("", "", 0, ""))
    wait.until(lambda: gone(group), what="the kernel to end those that were killed", timeout=60)


def test_what_a_command_leaves_running_is_not_waited_for(agent):
    out, _, status, _ = agent.run(one=["sh", "-c", "sleep 1000 & echo $!"])["one"]
    assert status == 0
    os.kill(int(out), signal.SIGKILL)


def test_a_command_with_a_deadline_of_its_own_is_killed_at_that_and_the_others_go_on(agent):
    own = {"argv": ["sleep", "1000"], "within": 0.2}
    ends = agent.run(own=own, other=["sleep", "0.5"])
    assert (ends["own"][2:], ends["other"][2:]) == ((124, "own"), (0, ""))
    assert agent.run(0.1, own=own)["own"][2:] == (124, "all")  # that of all came before


def test_a_command_that_no_program_can_be_given_is_told_and_hides_no_other(agent):
    ends = agent.run(nul=["printf", "a\0b"], well=["true"])
    assert ends["nul"][2] == 127
    assert "null byte" in ends["nul"][1]
    assert ends["well"][2] == 0


def test_much_output_of_one_command_does_not_wait_for_another_one(agent):
    ends = agent.run(3, slow=["sleep", "1000"], much=["head", "-c", "1000000", "/dev/zero"])
    assert (len(ends["much"][0]), ends["much"][2], ends["slow"][2]) == (1000000, 0, 124)


def test_a_stream_that_is_opened_by_its_name_is_the_same_stream(agent):
    script = "echo one; echo two > /dev/stdout; echo three >&2; echo four > /dev/stderr"
    assert agent.run(one=["sh", "-c", script])["one"][:2] == ("one\ntwo\n", "three\nfour\n")


@pytest.mark.slow
def test_a_command_that_prints_without_an_end_is_killed_and_not_kept(agent):
    out, _, status, late = agent.run(yes=["yes"], quick=["true"])["yes"]
    assert (status, late) == (124, "much")
    assert 1 << 26 < len(out) < 1 << 27


def test_the_most_that_a_command_may_print_is_its_own(monkeypatch):
    monkeypatch.setattr(agent_program, "MOST", 1 << 20)
    commands = ["yes"], ["sh", "-c", "yes >&2"], ["echo", "a"]
    jobs = [agent_program.Job({"argv": argv}, 60) for argv in commands]
    agent_program.attend(jobs)
    out, err, quick = (job.told() for job in jobs)
    for ended, stream in ((out, "out"), (err, "err")):
        assert (ended["exit"], ended["late"]) == (124, "much")
        assert 1 << 20 < len(text(ended[stream])) < 1 << 21
    assert (quick["exit"], quick["late"], text(quick["out"])) == (0, "", "a\n")


def test_requests_are_answered_as_they_end_and_not_as_they_came(agent):
    agent.send(1, 60, slow=["sleep", "1"])
    agent.go(1)
    agent.send(2, 60, quick=["true"])
    agent.go(2)
    assert [agent.hear()["id"] for _ in range(2)] == [2, 1]


def test_who_has_gone_away_leaves_nothing_running(agent):
    agent.send(1, 60, long=["sleep", "1000"])
    agent.go(1)
    agent.send(2, 60, other=["true"])
    assert agent.hear() == {"id": 2, "ready": True}  # so the first has begun
    (group,) = children(agent)
    assert agent.end() == 0
    wait.until(lambda: gone(group), what="the kernel to end what ran", timeout=60)


def children(agent: Program) -> list[str]:
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.split()


def test_what_was_given_up_before_it_began_is_not_begun(agent, tmp_path):
    agent.send(8, 60, late=["touch", str(tmp_path / "late")])
    agent.go(8, go=False)
    assert agent.run(one=["true"])["one"][2] == 0
    assert list(tmp_path.iterdir()) == []


def test_a_child_that_prints_on_is_not_waited_for_and_not_read(agent):
    out, _, status, late = agent.run(5, one=["sh", "-c", "echo first; yes & echo last; exit 3"])["one"]
    assert (status, late) == (3, "")
    assert out.startswith("first\n")
    assert len(out) <= 1 << 21


def test_whatever_is_wrong_with_one_command_the_others_go_on(agent, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    ends = agent.run(odd=["no-such-\udcff"], none=[], plain=[str(plain)], well=["echo", "\udcff"])
    assert {name: end[2] for name, end in ends.items()} == {"odd": 127, "none": 127, "plain": 126, "well": 0}
    assert agent.run(one=["true"])["one"][2] == 0
