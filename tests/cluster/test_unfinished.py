"""Runs of `lab up` that fail, are interrupted or are killed leave nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab import spec, wait
from lab.deadlines import patience
from tests.processes import running
from tests.unpacked import unpacked

pytestmark = pytest.mark.cluster

# One more than the tutorial's pods, which never answers on its port: an `up` that cannot have ended.
SILENT = """
metadata: {name: silent}
spec:
  nodeName: centos-minion01
  containers: [{name: silent, image: mysql, command: [sleep, infinity], ports: [{containerPort: 9}]}]
"""


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("network", marks=pytest.mark.thorough),
        pytest.param("node centos-minion01", marks=pytest.mark.thorough),
        pytest.param("docker on centos-minion02", marks=pytest.mark.thorough),
        "pod mysql01",
    ],
)
def test_gc_removes_what_an_up_that_was_killed_left(name, moment, tmp_path, run_lab, left_of, only_gc):
    tutorial = Path(spec.__file__).parent.parent / "tutorial"
    pods = [str(tutorial / "mysqlpod01.yaml"), str(tutorial / "mysqlpod02.yaml"), "silent.yaml"]
    file = tmp_path / "lab.yaml"
    file.write_text(json.dumps({"pods": pods}))
    (tmp_path / "silent.yaml").write_text(f"apiVersion: v1\nkind: Pod\n{SILENT}")
    command = [sys.executable, "-m", "lab", "up", "--name", name, "-f", str(file)]
    with running(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as up:
        assert up.stderr is not None
        seen = []
        for line in up.stderr:
            seen.append(line)
            if f"] {moment} (" in line:
                break
        assert up.poll() is None, "".join(seen)
        up.kill()
        up.wait()
    assert left_of(name) != []
    told = ""

    def collected() -> bool | wait.NotYet:
        nonlocal told
        told += run_lab("gc").stdout
        left = left_of(name)
        return not left or wait.NotYet(left)

    # The engine may still be making what it was asked for last.
    wait.until(collected, what="gc to leave nothing", timeout=30 * patience())
    assert f"removed network lab-{name}" in told


def test_an_interrupted_up_removes_what_it_made(name, left_of):
    command = [sys.executable, "-m", "lab", "up", "--name", name]
    with running(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as up:
        assert up.stderr is not None
        next(line for line in up.stderr if "] node centos-master (" in line)
        up.terminate()
        rest = up.stderr.read()
        assert up.wait() == 130, rest
    assert left_of(name) == []


@pytest.mark.thorough
def test_a_failed_up_says_why_leaves_a_bundle_that_was_asked_for_and_removes_what_it_made(
    name, tmp_path, run_lab, left_of
):
    file = tmp_path / "lab.yaml"
    file.write_text("flanneld: {options: [-ifcae=eth0]}\n")
    failed = run_lab("up", "-f", str(file), "--name", name, "--bundle", str(tmp_path / "why.tar.gz"))
    assert failed.returncode == 1
    assert "flag provided but not defined: -ifcae" in failed.stderr, failed.stderr
    assert "Traceback" not in failed.stderr
    assert left_of(name) == []
    # What is in the bundle was there only before the lab was removed.
    assert f"All that is known of it is in {tmp_path}/why.tar.gz\n" in failed.stderr
    found = unpacked(tmp_path / "why.tar.gz")
    assert "flag provided but not defined: -ifcae" in found["why.txt"]
    # Of the two minions the first to fail calls the other's step off.
    logs = [found[f"nodes/centos-minion0{number}/journal/flanneld.log"] for number in (1, 2)]
    assert any("flag provided but not defined: -ifcae" in log for log in logs), logs
    steps = [line for line in found["plan.txt"].splitlines() if line.startswith("docker on")]
    assert any(" failed " in line for line in steps), steps
