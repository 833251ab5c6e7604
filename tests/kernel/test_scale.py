"""`lab scale` itself, with as few nodes as there can be: what it finds, and that it leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lab.engine import Engine
from lab.labels import NAME
from tests.processes import running
from tests.schemas import problems

pytestmark = pytest.mark.kernel


def scale(output: Path, *argv: str, **environment: str) -> AbstractContextManager["subprocess.Popen[str]"]:
    return running(
        [sys.executable, "-m", "lab", "scale", f"--output={output}", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def left(engine: Engine) -> Sequence[str]:
    return [item.name for item in engine.containers([NAME]) if item.name.startswith("lab-scale-")]


@pytest.mark.parametrize(
    ("backend", "members"),
    [
        ("vxlan", 1),
        pytest.param("udp", 3, marks=pytest.mark.thorough),
        pytest.param("host-gw", 3, marks=pytest.mark.thorough),
    ],
)
def test_a_small_cluster_is_measured_to_its_end(tmp_path, backend, members):
    options = ["--json", f"--backend={backend}", f"--members={members}", "--churn=1/s", "--for=1s"]
    with scale(tmp_path, "3", *options) as measuring:
        printed, progress = measuring.communicate()
    assert measuring.returncode == 0, progress

    read = json.loads(printed)
    assert read == json.loads((tmp_path / "scale.json").read_text())
    assert problems("scale", read) == []
    (run,) = read["runs"]
    assert (run["nodes"], run["failure"], len(run["etcd"])) == (3, None, members)
    phases = {item["phase"]: item for item in run["phases"]}
    assert list(phases) == ["start", "idle", "join", "restart", "death", "churn"]
    for name in ("start", "join", "restart", "death"):
        assert phases[name]["seconds"] > 0, name
    assert phases["start"]["cpuOfANode"] > 0
    # Three leases are granted and put, and as many watches begun.
    assert phases["start"]["etcdRequests"] >= 9
    assert phases["death"]["parts"] == {"nodesThatDied": 1}
    assert phases["churn"]["parts"]["nodesReplaced"] == 1
    assert run["node"]["sockets"]["least"] >= 1
    assert run["node"]["rss"]["median"] > run["node"]["pss"]["median"] > 1e6
    for name in ("scale.svg", "scale.png"):
        assert (tmp_path / name).stat().st_size > 0


@pytest.mark.thorough
def test_what_happens_is_measured_under_faults_and_after_them(tmp_path):
    faults = [
        "delay etcd --time 20ms", "partition-etcd n1 --for 3s", "daemon-pause n2 --for 1s",
        "etcd-pause m1 --for 1s", "etcd-stop --for 1s", "etcd-member-loss m2 --for 1s", "etcd-wipe",
        "etcd-leader-change", "daemon-kill-9 n1", "thundering-start minions", "lease-delete n2",
    ]  # fmt: skip
    options = [f"--fault={fault}" for fault in faults]
    with scale(tmp_path, "3", "--members=3", "--json", *options) as measuring:
        printed, progress = measuring.communicate()
    assert measuring.returncode == 0, progress
    (run,) = json.loads(printed)["runs"]
    phases = {item["title"]: item for item in run["phases"] if item["phase"] == "fault"}
    assert list(phases) == [f"{fault}: until all know after it" for fault in faults[1:]]
    assert all(item["faults"][0] == faults[0] for item in run["phases"])
    # What a node asks of etcd at its start is answered 20 ms late, one thing after another.
    assert run["phases"][0]["seconds"] > 0.06


@pytest.mark.thorough
def test_daemons_that_end_by_themselves_are_named_with_their_last_words(tmp_path):
    program = tmp_path / "flanneld"
    program.write_text(
        "#!/bin/sh\ntest \"$1\" = -version && echo v0.20.99 && exit\necho 'no such device' >&2\nexit 1\n"
    )
    with scale(tmp_path / "out", "2", f"--binary={program}") as measuring:
        _, said = measuring.communicate()
    assert measuring.returncode == 1
    assert "the daemons of n1" in said
    assert "no such device" in said


@pytest.mark.thorough
def test_nodes_that_do_not_know_what_they_should_are_named(tmp_path):
    program = tmp_path / "flanneld"
    program.write_text('#!/bin/sh\ntest "$1" = -version && echo v0.20.99 && exit\nexec sleep infinity\n')
    options = [f"--binary={program}", "--json"]
    with scale(tmp_path / "out", "2", *options, LAB_PATIENCE="0.2") as measuring:
        printed, said = measuring.communicate()
    assert measuring.returncode == 1, said
    (run,) = json.loads(printed)["runs"]
    assert "2 of 2 nodes lack something: n1 (a lease), n2 (a lease)" in run["failure"]
    assert run["phases"] == []
    assert run["node"]["threads"]["median"] == 1


@pytest.mark.thorough
def test_a_run_that_is_interrupted_leaves_nothing_behind(tmp_path, engine):
    before = set(left(engine))
    with scale(tmp_path, "3") as measuring:
        assert measuring.stderr is not None
        for line in measuring.stderr:
            if "start until all have all routes:" in line:
                break
        (name,) = set(left(engine)) - before
        measuring.send_signal(signal.SIGINT)
        _, said = measuring.communicate()
    assert measuring.returncode == 130, said
    assert name not in left(engine)
