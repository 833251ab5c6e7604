"""The end of a command whose output nobody reads, with real processes, as they run on a machine."""

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from lab import hangup
from lab.hangup import Process

PIPE, OTHER = "pipe:[1]", "pipe:[2]"


def process(pid: int, parent: int, *outputs: str, marked: bool = True) -> Process:
    return Process(pid, parent, marked, frozenset(outputs), heeds_pipe=True)


@pytest.mark.parametrize(
    ("found", "ended"),
    [
        ([process(5, 1, PIPE), process(6, 5, PIPE)], {5, 6}),
        # A daemon that a command has started, whose output goes to a file.
        ([process(5, 1, PIPE), process(6, 5, "/var/log/daemon")], {5}),
        # `docker exec`, the command that it has had started in a pod, and something else in the same pod.
        ([process(5, 1, PIPE), process(9, 8, OTHER), process(10, 8, "pipe:[3]", marked=False)], {5, 9}),
        # sudo(8) gives its command another environment, but the same pipe.
        ([process(5, 1, PIPE), process(6, 5, PIPE, marked=False)], {5, 6}),
        # Another container's first terminal has the same name.
        ([process(5, 1, "/dev/pts/0"), process(6, 1, "/dev/pts/0", marked=False)], {5}),
        ([process(5, 1, "/dev/null"), process(6, 1, "/dev/null", marked=False)], set()),
    ],
)
def test_what_prints_where_the_command_does_is_ended(found: list[Process], ended: set[int]) -> None:
    assert {item.pid for item in hangup.writers(found)} == ended


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("exec yes", -13),
        ("yes & wait", -13),
        # Python does not heed SIGPIPE: it would see an error where it writes.
        (f"exec {sys.executable} -c 'while True: print(1)'", -15),
    ],
)
def test_a_command_ends_as_the_writer_of_a_pipe_that_nobody_reads(script: str, status: int) -> None:
    mark = secrets.token_hex(8)
    environment = {**os.environ, hangup.VARIABLE: mark}
    # A pipe that is read on, as the engine does, and is still held when the reader is not wanted any more.
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, env=environment) as command:
        assert command.stdout is not None
        assert command.stdout.read(2) in (b"y\n", b"1\n")
        source = Path(hangup.__file__).read_text()
        subprocess.run([sys.executable, "-c", source, mark], check=True, timeout=60)
        command.stdout.read()  # ends only when every writer has
        assert command.wait(timeout=60) == status
