"""Stories of a day at a lab: commands, copies, a restart, and a status that is watched."""

import hashlib
import os
import pty
import random
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import wait
from lab.cluster import Lab
from lab.errors import CommandError
from tests.cluster.judging import subnets, wait_until_right

pytestmark = pytest.mark.cluster

ONE, TWO = "centos-minion01", "centos-minion02"


@pytest.fixture(scope="module", autouse=True)
def _as_found(lab: Lab) -> Iterator[None]:
    yield
    wait_until_right(lab)


@pytest.fixture
def pod_name(lab: Lab) -> str:
    return next(pod.name for pod in Lab.get(lab.engine, lab.name).pods() if pod.node == ONE)


def test_a_command_needs_no_dashes_and_has_all_that_follows_its_name(lab, pod_name, run_lab):
    for where in (["exec", "--name", lab.name, ONE], ["pod", "exec", "--name", lab.name, pod_name]):
        done = run_lab(*where, "printf", "%s|", "-t", "--name", "--", "a b")
        assert (done.returncode, done.stdout) == (0, "-t|--name|--|a b|"), done.stderr


def test_files_and_folders_go_there_and_come_back_as_they_were(lab, pod_name, run_lab, tmp_path):
    given = tmp_path / "given"
    (given / "empty").mkdir(parents=True)
    (given / "blob").write_bytes(random.Random(1).randbytes(3_000_001))
    (given / "run me").write_text("#!/bin/sh\n")
    (given / "run me").chmod(0o750)
    (given / "link").symlink_to("run me")
    digest = hashlib.sha256((given / "blob").read_bytes()).hexdigest()
    for where, exec_ in ((ONE, ["exec"]), (pod_name, ["pod", "exec"])):
        for words in (
            (str(given), f"{where}:/root/copied"),  # new, so the folder is called this
            (str(given), f"{where}:/root/copied"),  # there, so it goes into it
            (f"{where}:/root/copied/given/.", str(tmp_path / f"from-{where}")),
        ):
            done = run_lab("cp", "--name", lab.name, *words)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        command = ["stat", "-c", "%a %u %s", "/root/copied/run me", "/root/copied/given/blob"]
        done = run_lab(*exec_, "--name", lab.name, where, *command)
        assert done.stdout == "750 0 10\n644 0 3000001\n"
        back = tmp_path / f"from-{where}"
        assert sorted(path.name for path in back.iterdir()) == ["blob", "empty", "link", "run me"]
        assert hashlib.sha256((back / "blob").read_bytes()).hexdigest() == digest
        assert (back / "run me").stat().st_mode & 0o7777 == 0o750
        assert (back / "link").readlink() == Path("run me")
        run_lab(*exec_, "--name", lab.name, where, "rm", "-r", "/root/copied")


def test_a_file_that_is_on_a_file_system_of_the_machines_own_is_copied(lab, run_lab, tmp_path):
    done = run_lab("cp", "--name", lab.name, f"{ONE}:/run/flannel/subnet.env", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "subnet.env").read_text() == subnets(lab)[ONE]


@pytest.mark.parametrize(
    ("source", "destination", "words"),
    [
        ("WHERE:/nosuch", ".", "lab: there is no file or folder WHERE:/nosuch\n"),
        (".", "WHERE:/etc/passwd", "lab: WHERE:/etc/passwd is no folder\n"),
        (".", "WHERE:/nosuch/x", "lab: there is no folder WHERE:/nosuch\n"),
    ],
)
def test_what_cannot_be_copied_is_one_line(lab, pod_name, run_lab, source, destination, words):
    for where in (ONE, pod_name):
        done = run_lab(
            "cp", "--name", lab.name, *(it.replace("WHERE", where) for it in (source, destination))
        )
        assert (done.returncode, done.stderr) == (1, words.replace("WHERE", where))


def test_a_command_that_fails_is_told_as_it_can_be_pasted(lab):
    with pytest.raises(CommandError) as told:
        lab.node(ONE).run(["sh", "-c", 'echo "it\'s $0"; exit 3', "$HOME"])
    first = told.value.message.splitlines()[0]
    pasted = first.partition(" from: ")[2]
    done = subprocess.run(
        ["sh", "-c", f'lab() {{ "{sys.executable}" -m lab "$@"; }}; {pasted}'],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "it's $HOME\n"), done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lab exec --name LAB centos-mi", [ONE, TWO]),
        ("lab logs --name LAB centos-master e", ["etcd"]),
        ("lab pod exec --name LAB mysql", ["mysql01", "mysql02"]),
        ("lab fault start --name LAB unit-kill centos-master/", ["centos-master/etcd"]),
    ],
)
def test_a_shell_is_offered_the_names_of_what_there_is(lab, line, offered):
    words = line.replace("LAB", lab.name)
    asked = {"_LAB_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-m", "lab"],
        env={**os.environ, "LAB_PATIENCE": "20", **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [f"plain,{name}" for name in offered]


@pytest.mark.thorough
def test_a_machine_that_is_restarted_serves_as_before(lab, run_lab):
    before = subnets(lab)
    booted = lab.node(TWO).run(["stat", "-c", "%Y", "/proc/1"]).text
    done = run_lab("restart", "--name", lab.name, TWO)
    assert done.returncode == 0, done.stderr + done.stdout
    assert f"docker on {TWO}" in done.stderr
    again = Lab.get(lab.engine, lab.name)
    assert again.node(TWO).run(["stat", "-c", "%Y", "/proc/1"]).text != booted
    assert subnets(again) == before


def test_a_status_that_is_watched_is_drawn_until_ctrl_c(lab):
    here, there = pty.openpty()
    termios.tcsetwinsize(there, (40, 200))
    argv = [sys.executable, "-m", "lab", "status", "--watch", "--name", lab.name]
    # Whoever started the tests may have had them ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(argv, stdout=there, stderr=subprocess.PIPE)
    os.close(there)
    signal.signal(signal.SIGINT, before)
    drawn = b""

    def twice() -> bool | wait.NotYet:
        nonlocal drawn
        drawn += os.read(here, 65536)
        return (drawn.count(TWO.encode()) > 2 and drawn.count(b"Ctrl-C") > 1) or wait.NotYet(drawn)

    try:
        wait.until(twice, what="two views", timeout=60)
        process.send_signal(signal.SIGINT)
        complaints = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
        os.close(here)
    assert (process.returncode, complaints.strip()) == (130, b"lab: interrupted")
