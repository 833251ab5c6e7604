"""A command that is wanted far away, with real processes, as it runs on a machine."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from lab import wait
from lab.node.inside import VARIABLE, mark, supervise
from lab.node.inside.supervise import living

PROGRAM = [sys.executable, "-IS", supervise.__file__]


class Supervised:
    """The program, with the far end of its frames."""

    def __init__(self, *argv: str) -> None:
        own = mark()
        self.mark = f"{VARIABLE}={own}"
        self.process = subprocess.Popen(
            [*PROGRAM, self.mark, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, VARIABLE: own},
        )
        assert self.process.stdin is not None
        self.frames = self.process.stdin

    def say(self, kind: bytes, data: bytes = b"") -> None:
        self.frames.write(kind + len(data).to_bytes(4) + data)
        self.frames.flush()

    def says(self, line: bytes) -> None:
        """Wait for a line of the command's output."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == line

    def rest(self) -> tuple[bytes, bytes, int]:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        return self.process.stdout.read(), self.process.stderr.read(), self.process.wait(60)

    def left(self) -> set[int]:
        return living(self.mark, self.process.pid)


@contextmanager
def supervised(*argv: str) -> Iterator[Supervised]:
    command = Supervised(*argv)
    with command.process:
        yield command


@pytest.mark.parametrize(
    ("argv", "ends"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 7"], (b"out\n", b"err\n", 7)),
        # A shell's exit statuses, 2.8.2 of the shell language in POSIX.
        (["sh", "-c", "kill -KILL $$"], (b"", b"", 137)),
        (["no-such-program"], (b"", b"no-such-program: No such file or directory\n", 127)),
        (["/"], (b"", b"/: Permission denied\n", 126)),
    ],
)
def test_a_commands_streams_and_exit_status_are_its_own(
    argv: Sequence[str], ends: tuple[bytes, bytes, int]
) -> None:
    with supervised(*argv) as command:
        assert command.rest() == ends


def test_the_commands_input_ends_before_its_output_does() -> None:
    text = b"much\n" * 300_000  # more than any pipe holds
    with supervised("sort", "-u") as command:
        for start in range(0, len(text), 65536):
            command.say(b"d", text[start : start + 65536])
        command.say(b"e")
        assert command.rest() == (b"much\n", b"", 0)


def test_a_command_need_not_read_its_input() -> None:
    with supervised("sh", "-c", "exec <&-; echo ready; exec sleep 60") as command:
        command.says(b"ready\n")
        command.say(b"d", b"nobody reads this")
        command.say(b"s", str(int(signal.SIGTERM)).encode())
        assert command.rest() == (b"", b"", 128 + signal.SIGTERM)


STUBBORN = "trap '' TERM; echo ready; while :; do sleep 1; done"


@pytest.mark.parametrize(
    "argv",
    [
        ["sh", "-c", "echo ready; sleep 60"],
        # A daemon: its parent has ended, its session is its own.
        ["sh", "-c", "(setsid sleep 60 &); echo ready; sleep 60"],
        ["env", "-i", "/bin/sh", "-c", "(setsid sleep 60 &); echo ready; sleep 60"],
        ["sh", "-c", STUBBORN],
        # It prints more than anybody reads.
        ["sh", "-c", "echo ready; yes"],
    ],
    ids=["a command", "a daemon of it", "without the mark", "one that heeds no SIGTERM", "one that prints"],
)
def test_nothing_of_a_command_outlives_the_far_end(argv: Sequence[str]) -> None:
    with supervised(*argv) as command:
        command.says(b"ready\n")
        assert command.left() != set()
        command.frames.close()
        command.rest()
        assert command.left() == set()


def test_a_command_ends_with_the_far_end_also_while_input_waits_for_it() -> None:
    with supervised("sh", "-c", "echo ready; sleep 60") as command:
        command.says(b"ready\n")
        command.say(b"d", bytes(1_100_000))
        command.frames.close()
        assert command.rest()[2] == 128 + signal.SIGTERM


def test_what_a_command_leaves_when_it_ends_by_itself_stays() -> None:
    with supervised("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!") as command:
        out, _, status = command.rest()
        assert status == 0
        assert command.left() == {int(out)}
        # By its mark it is found, and ended.
        subprocess.run([*PROGRAM, command.mark], check=True, timeout=60)
        assert command.left() == set()


def test_what_bears_another_mark_is_left_alone() -> None:
    with supervised("sh", "-c", "echo ready; sleep 60") as one, supervised("cat") as other:
        one.says(b"ready\n")
        one.frames.close()
        one.rest()
        other.say(b"d", b"alive\n")
        other.says(b"alive\n")
        other.frames.close()
        other.rest()


def test_a_process_that_cannot_be_seen_is_none() -> None:
    with supervised("sh", "-c", "echo ready; exec sleep 60") as command:
        command.says(b"ready\n")
        (pid,) = wait.until(
            lambda: command.left() or wait.NotYet("nobody"), what="the command to be seen", timeout=10
        )
        os.kill(pid, signal.SIGKILL)
        assert command.rest()[2] == 137
        assert command.left() == set()
