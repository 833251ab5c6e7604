import subprocess
import sys
from pathlib import Path

import pytest


def lab(*argv: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lab", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("argv", "right"),
    [
        (("exec", "n", "ls", "-l"), "lab exec NODE -- CMD -x"),
        (("pod", "exec", "p", "ls", "-l"), "lab pod exec POD -- CMD -x"),
    ],
)
def test_an_option_of_the_command_to_run_is_told_its_place(argv: tuple[str, ...], right: str) -> None:
    done = lab(*argv)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"come after --: {right}")


def test_a_dry_run_says_which_flanneld_a_machine_is_going_to_run(tmp_path: Path) -> None:
    (tmp_path / "flanneld").write_text("#!/bin/sh\n")
    (tmp_path / "lab.yaml").write_text("flanneld: {binary: flanneld}\n")
    done = lab("up", "--dry-run", "-f", str(tmp_path / "lab.yaml"))
    assert done.returncode == 0
    assert done.stdout.count(f" with {tmp_path}/flanneld as its flanneld ") == 2


def test_a_flanneld_that_is_not_there_is_bad_input_that_starts_nothing(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("flanneld: {binary: flanneld}\n")
    done = lab("up", "-f", str(file))
    words = f"lab: {file}: flanneld.binary: {tmp_path}/flanneld cannot be read: No such file or directory\n"
    assert (done.returncode, done.stderr) == (2, words)
