"""One lab on two engines, and on three: a swarm carries the machines' network from one to the other."""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.engine import Engine
from tests.cluster.remote_machine import RemoteMachine, open_remote_machine
from tests.flanneld_py.certificates import Authority
from tests.processes import running

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

RunLab = Callable[..., "subprocess.CompletedProcess[str]"]
SETTINGS = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS")


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Whose certificates let a client in."""
    return Authority("its makers")


@pytest.fixture(scope="module")
def machines(
    engine: Engine, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[RemoteMachine, RemoteMachine]]:
    """Two machines with an engine each, that let in the same client."""
    if any(name in os.environ for name in SETTINGS):
        pytest.skip("the engine of these tests is not this machine's own")
    if not shutil.which("ssh-keygen"):
        pytest.skip("no ssh here (openssh-client)")
    made = tmp_path_factory.mktemp
    with (
        open_remote_machine(engine, made("home"), authority) as home,
        open_remote_machine(engine, made("far"), authority) as far,
    ):
        yield home, far


@pytest.fixture
def third(
    machines: tuple[RemoteMachine, RemoteMachine],
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RemoteMachine]:
    """A third one, which is reached by ssh."""
    folder = tmp_path / "third"
    folder.mkdir()
    with open_remote_machine(engine, folder) as made:
        monkeypatch.setenv("PATH", f"{made.programs}:{os.environ['PATH']}")
        yield made


@pytest.fixture
def settings(machines: tuple[RemoteMachine, RemoteMachine], monkeypatch: pytest.MonkeyPatch) -> None:
    home, _ = machines
    monkeypatch.setenv("DOCKER_HOST", f"tcp://{home.address}:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(home.certificates))


def lab_file(name: str, far: RemoteMachine, config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "name": name,
        "engines": [
            {"name": "home"},
            {"name": "far", "host": f"tcp://{far.address}:2376", "labels": {"room": 2}},
        ],
        "nodes": [
            {"name": "master", "role": "master", "host": 51, "engine": "home"},
            {"name": "near", "role": "minion", "host": 52, "engine": "home"},
            {"name": "away", "role": "minion", "host": 53, "engine": {"room": 2}},
        ],
        "flannel": {"config": {"Network": "10.2.0.0/16", **config}},
    }


def docker(engine: Engine, machine: RemoteMachine, *argv: str) -> str:
    done = engine.exec(machine.container, ["docker", *argv])
    assert done.exit_code == 0, done.output
    return done.text.strip()


@pytest.fixture
def name(run_lab: RunLab, settings: None) -> Iterator[str]:
    made = f"story-{secrets.token_hex(4)}"
    yield made
    down = run_lab("down", "--name", made)
    assert down.returncode == 0, down.stdout + down.stderr


def test_engines_that_are_of_no_swarm_are_named_and_have_nothing_made_on_them(
    machines, run_lab, name, tmp_path, engine
):
    _, far = machines
    for machine in machines:
        engine.exec(machine.container, ["docker", "swarm", "leave", "--force"])
    file = tmp_path / "lab.yaml"
    file.write_text(yaml.safe_dump(lab_file(name, far, {})))
    told = run_lab("up", "-f", str(file))
    assert told.returncode == 2, told.stderr
    assert "the engines are not of one swarm: home is in no swarm; far is in no swarm" in told.stderr
    assert "lab engines join -f FILE" in told.stderr
    assert json.loads(run_lab("ls", "--json").stdout)["labs"] == []


def test_three_engines_are_one_lab_the_second_by_a_context_with_its_certificates_the_third_by_ssh(
    machines, third, run_lab, name, tmp_path, engine, monkeypatch
):
    home, far = machines
    file, config = tmp_path / "lab.yaml", tmp_path / "docker"
    identifier = hashlib.sha256(b"there").hexdigest()
    meta, tls = config / "contexts/meta" / identifier, config / "contexts/tls" / identifier / "docker"
    meta.mkdir(parents=True)
    endpoint = {"Host": f"tcp://{far.address}:2376", "SkipTLSVerify": False}
    (meta / "meta.json").write_text(json.dumps({"Name": "there", "Endpoints": {"docker": endpoint}}))
    shutil.copytree(far.certificates, tls)
    document = {**lab_file(name, far, {})}
    document["engines"] = [
        {"name": "home"},
        {"name": "far", "context": "there", "labels": {"room": 2}},
        {"name": "third", "host": f"ssh://root@{third.address}", "labels": {"room": 3}},
    ]
    last = {"name": "last", "role": "minion", "host": 54, "engine": {"room": 3}}
    document["nodes"] = [*document["nodes"], last]
    file.write_text(yaml.safe_dump(document))
    unknown = run_lab("up", "-f", str(file))
    assert unknown.returncode == 2
    assert "the engine far: its context is there, but" in unknown.stderr
    monkeypatch.setenv("DOCKER_CONFIG", str(config))
    assert run_lab("engines", "join", "--yes", "-f", str(file)).returncode == 0
    listed = json.loads(run_lab("images", "ls", "-f", str(file), "--json").stdout)["images"]
    assert {item["engine"] for item in listed} == {"home", "far", "third"}
    up = run_lab("up", "-f", str(file), "--json")
    assert up.returncode == 0, up.stdout + up.stderr
    told = json.loads(run_lab("doctor", "--json", "--name", name).stdout)["diagnoses"]
    about_hosts = {item["subject"] for item in told if item["id"].startswith("host.")}
    assert about_hosts <= {"host of home", "host of far", "host of third"}
    assert [item for item in told if item["id"] == "machine.silent"] == []
    label = engine.exec(home.container, ["docker", "network", "inspect", f"lab-{name}"]).text
    assert f"tcp://{far.address}:2376" in label
    assert "PRIVATE KEY" not in label
    assert str(config) not in label
    monkeypatch.delenv("DOCKER_CONFIG")  # as where the context is not known
    shown = json.loads(run_lab("status", "--json", "--name", name).stdout)
    assert {node["name"]: node["state"] for node in shown["nodes"]} == {
        "master": "running", "near": "running", "away": "running", "last": "running"
    }  # fmt: skip
    assert [node["engine"] for node in shown["nodes"]] == ["home", "home", "far", "third"]


@pytest.mark.parametrize("backend", ["udp", "vxlan", "host-gw"])
def test_pods_of_machines_on_two_engines_log_in_to_each_other(
    machines, run_lab, name, tmp_path, engine, backend
):
    _, far = machines
    file = tmp_path / "lab.yaml"
    file.write_text(yaml.safe_dump(lab_file(name, far, {"Backend": {"Type": backend}})))
    assert run_lab("engines", "join", "--yes", "-f", str(file)).returncode == 0
    up = run_lab("up", "-f", str(file), "--json")
    assert up.returncode == 0, up.stdout + up.stderr
    shown = json.loads(run_lab("status", "--json", "--name", name).stdout)
    assert {node["name"]: node["engine"] for node in shown["nodes"]} == {
        "master": "home", "near": "home", "away": "far"
    }  # fmt: skip
    findings = json.loads(run_lab("check", "--json", "--name", name).stdout)["findings"]
    logins = [item for item in findings if item["id"].startswith("login.")]
    assert len(logins) == 4  # both ways, with two clients
    assert {item["kind"] for item in findings} == {"pass"}
    # RFC 7348: the swarm's own vxlan takes 50 of 1500 bytes.
    link = run_lab("exec", "--name", name, "away", "--", "cat", "/sys/class/net/eth0/mtu").stdout
    assert link.strip() == "1450"
    trace = run_lab("trace", "--name", name, "mysql01", "mysql02", "--icmp")
    assert trace.returncode == 0, trace.stdout + trace.stderr
    assert "eth0 to away eth0" in trace.stdout
    if backend == "udp":
        faults = "partition,daemon-restart"
        soak = run_lab("soak", "--name", name, "--rounds", "1", "--seed", "1", "--faults", faults)
        assert soak.returncode == 0, soak.stdout + soak.stderr


def test_when_an_engine_is_gone_the_rest_goes_on_and_gc_finishes_what_down_could_not(
    machines, run_lab, name, tmp_path, engine
):
    _, far = machines
    file = tmp_path / "lab.yaml"
    file.write_text(yaml.safe_dump(lab_file(name, far, {})))
    assert run_lab("engines", "join", "--yes", "-f", str(file)).returncode == 0
    assert run_lab("up", "-f", str(file)).returncode == 0
    stop_engine(engine, far)
    try:
        shown = json.loads(run_lab("status", "--json", "--name", name).stdout)
        assert {node["name"]: node["state"] for node in shown["nodes"]} == {
            "master": "running", "near": "running", "away": "unreached"
        }  # fmt: skip
        told = run_lab("exec", "--name", name, "away", "--", "true")
        assert "the engine far, which the node away is on, does not answer" in told.stderr
        down = run_lab("down", "--name", name)
        assert down.returncode == 1
        assert f"tcp://{far.address}:2376" in down.stderr
    finally:
        start_engine(engine, far)
    assert f"container lab-{name}-away" in run_lab("gc").stdout
    assert json.loads(run_lab("ls", "--json").stdout)["labs"] == []
    assert docker(engine, far, "ps", "-aq") == ""


def scale_file(tmp_path: Path, name: str, far: RemoteMachine) -> Path:
    file = tmp_path / "lab.yaml"
    file.write_text(yaml.safe_dump(lab_file(name, far, {})))
    return file


def test_nodes_of_a_scale_run_are_shared_out_and_learn_of_each_other(
    machines, run_lab, name, tmp_path, engine
):
    _, far = machines
    file = scale_file(tmp_path, name, far)
    assert run_lab("engines", "join", "--yes", "-f", str(file)).returncode == 0
    options = ["--members", "3", "--churn", "1/s", "--for", "2s", "--output", str(tmp_path), "--json"]
    faults = [
        "--fault",
        "delay etcd --time 5ms",
        "--fault",
        "etcd-wipe",
        "--fault",
        "daemon-pause n2 --for 1s",
    ]
    told = run_lab("scale", "4", "-f", str(file), *options, *faults)
    assert told.returncode == 0, told.stderr
    document = json.loads(told.stdout)
    assert document["machine"]["engines"] == "home, far"
    (run,) = document["runs"]
    assert [item["phase"] for item in run["phases"]] == [
        "start", "idle", "join", "restart", "fault", "fault", "death", "churn"
    ]  # fmt: skip
    assert len(run["etcd"]) == 3
    assert json.loads(run_lab("ls", "--json").stdout)["labs"] == []
    assert docker(engine, far, "ps", "-aq") == ""


def test_of_a_scale_run_whose_engine_is_gone_gc_removes_what_is_left(
    machines, run_lab, name, tmp_path, engine
):
    _, far = machines
    file = scale_file(tmp_path, name, far)
    assert run_lab("engines", "join", "--yes", "-f", str(file)).returncode == 0
    argv = [sys.executable, "-m", "lab", "scale", "4", "-f", str(file), "--output", str(tmp_path)]
    with running(argv, stderr=subprocess.PIPE, text=True, env={**os.environ, "LAB_PATIENCE": "0.3"}) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "start until all have all routes:" in line:
                break
        stop_engine(engine, far)
        try:
            said = run.stderr.read()
            assert run.wait() == 1, said
        finally:
            start_engine(engine, far)
    assert "the agent in the container on the engine far did not answer" in said
    assert "Once the engines answer: lab gc" in said
    removed = run_lab("gc").stdout
    assert "-far" in removed
    assert "network lab-scale-" in removed
    for machine in machines:
        assert docker(engine, machine, "ps", "-aq") == ""


def stop_engine(engine: Engine, machine: RemoteMachine) -> None:
    """As a machine that is cut off: the processes of its engine stand still, and answer nobody."""
    engine.pause(machine.container)


def start_engine(engine: Engine, machine: RemoteMachine) -> None:
    engine.unpause(machine.container)
