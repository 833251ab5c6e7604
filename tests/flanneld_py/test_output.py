"""What commands do where standard output is full, closed, or a pipe that nobody reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flanneld_py.errors import Exit

FLANNELD = [sys.executable, "-m", "flanneld_py"]
MK_DOCKER_OPTS = [
    sys.executable,
    "-c",
    "import sys; from flanneld_py.mk_docker_opts import main; sys.exit(main())",
]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text('{"Network": "10.2.0.0/16"}')
    return str(path)


def run(shell: str, *argv: str) -> tuple[int, str]:
    """The status, and what is on standard error, of `argv` with this redirection."""
    done = subprocess.run(
        ["sh", "-c", f'"$@" {shell}', "sh", *argv],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, check=False, timeout=30,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("shell", "reason"),
    [(">/dev/full", "No space left on device: make room"), (">&-", "it is closed: open it")],
    ids=["full", "closed"],
)
def test_output_that_cannot_be_printed_is_one_line_and_the_status_of_a_file(shell, reason, config):
    status, error = run(shell, *FLANNELD, "check-config", config)
    assert status == Exit.FILE
    (line,) = error.splitlines()
    assert f"] Writing to standard output: {reason}, or send it " in line


def test_a_long_list_of_leases_that_does_not_fit_is_told_the_same():
    # More than the buffer of Python's standard output, so that the writing itself fails.
    program = (
        "import sys; from flanneld_py import cli, commands; from flanneld_py.commands import leases;"
        "leases.run = lambda _: leases.output.write('x' * 100_000);"
        "sys.argv = ['flanneld', 'leases']; sys.exit(cli.main())"
    )
    status, error = run(">/dev/full", sys.executable, "-c", program)
    assert status == Exit.FILE
    assert len(error.splitlines()) == 1


def test_a_reader_that_stops_early_is_no_error(config):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*FLANNELD, "check-config", config], stdout=write, stderr=subprocess.PIPE, check=False, timeout=30
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (Exit.OK, b"")


@pytest.mark.parametrize(
    ("target", "shell", "reason"),
    [
        ("/dev/full", "", "No space left on device"),
        ("/dev/stdout", ">/dev/full", "No space left on device"),
        ("/dev/stdout", ">&-", "No such file or directory"),
    ],
)
def test_docker_options_that_cannot_be_written_are_one_line_with_the_files_name(target, shell, reason):
    status, error = run(shell, *MK_DOCKER_OPTS, "-d", target)
    assert status == 1
    (line,) = error.splitlines()
    assert line.endswith(f": {target}: {reason}")
