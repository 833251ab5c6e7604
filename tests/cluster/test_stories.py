"""What happens to a lab over time: restarts, reboots, removal, and runs that were killed."""

import secrets
import subprocess
import sys
from ipaddress import IPv4Address

import pytest

from lab import checks, spec, wait
from lab.cluster import NAME, Lab
from lab.errors import LabError

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("stories")]


def run_lab(*argv):
    return subprocess.run([sys.executable, "-m", "lab", *argv], capture_output=True, text=True, check=False)


def left_of(engine, name):
    """Everything of the engine that carries a lab's name."""
    labels = {NAME: name}
    found = [*engine.containers(labels), *engine.networks(labels), *engine.volumes(labels)]
    return [item.name for item in found]


@pytest.fixture
def name(engine):
    """A name for a lab that the command line makes; whatever is left of it goes with the test."""
    chosen = f"story-{secrets.token_hex(4)}"
    yield chosen
    run_lab("down", "--name", chosen)
    assert left_of(engine, chosen) == []


def wait_until_right(lab: Lab) -> None:
    """Wait until every check of the lab holds again; time out with those that do not."""

    def probe():
        try:
            wrong = [finding for finding in checks.run_all(Lab.get(lab.engine, lab.name)) if not finding.ok]
        except LabError as error:
            return wait.NotYet(str(error))
        return wait.NotYet(f"{wrong}") if wrong else True

    wait.until(probe, what="all checks to hold", timeout=60, interval=0.2)


def subnets(lab):
    return {node.name: node.run(["cat", "/run/flannel/subnet.env"]).text for node in lab.minions}


def test_a_restarted_flanneld_keeps_its_subnet_and_the_pods_come_back(make_lab):
    lab = make_lab(spec.tutorial()).lab
    before = subnets(lab)
    lab.node("centos-minion01").run(["systemctl", "restart", "flanneld"])
    wait_until_right(lab)
    assert subnets(lab) == before


def test_a_rebooted_node_keeps_its_subnet_and_its_pod(make_lab):
    lab = make_lab(spec.tutorial()).lab
    before = subnets(lab)
    lab.engine.restart(lab.node("centos-minion02").container.id)
    lab = Lab.get(lab.engine, lab.name)
    lab.node("centos-minion02").start_service("docker")
    wait_until_right(lab)
    assert subnets(lab) == before


def test_two_labs_stand_side_by_side(make_lab):
    one, two = make_lab(spec.tutorial()).lab, make_lab(spec.tutorial()).lab
    assert one.underlay != two.underlay
    first_free = IPv4Address("192.168.200.0")
    assert all(lab.underlay.network_address >= first_free for lab in (one, two))
    assert [finding for lab in (one, two) for finding in checks.run_all(lab) if not finding.ok] == []


def test_up_then_up_again_then_down_leaves_nothing(engine, name):
    first = run_lab("up", "--name", name)
    assert first.returncode == 0, first.stderr
    containers = engine.containers({NAME: name})
    caches = {volume.name for volume in engine.volumes(["lab.cache"])}
    volumes = {volume for item in containers for volume in engine.volumes_of(item.id)} - caches
    assert volumes

    again = run_lab("up", "--name", name)
    assert again.returncode == 0
    assert "up already" in again.stdout
    assert {item.id for item in engine.containers({NAME: name})} == {item.id for item in containers}

    gone = run_lab("down", "--name", name)
    assert gone.returncode == 0
    assert left_of(engine, name) == []
    assert not [volume for volume in volumes if engine.volume_exists(volume)]


@pytest.mark.parametrize(
    "moment", ["network", "node centos-minion01", "docker on centos-minion02", "pod mysql01"]
)
def test_gc_removes_what_an_up_that_was_killed_left(engine, name, moment):
    command = [sys.executable, "-m", "lab", "up", "--name", name]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as up:
        assert up.stderr is not None
        seen = []
        for line in up.stderr:
            seen.append(line)
            if f"] {moment} (" in line:
                break
        assert up.poll() is None, "".join(seen)
        up.kill()
        up.wait()
    assert left_of(engine, name) != []
    collected = run_lab("gc")
    assert name in collected.stdout
    assert left_of(engine, name) == []


def test_gc_leaves_a_lab_alone_that_is_being_used(engine, make_lab):
    lab = make_lab(spec.tutorial()).lab
    assert lab.name not in run_lab("gc").stdout
    assert len(left_of(engine, lab.name)) == 4


def test_an_interrupted_up_removes_what_it_made(engine, name):
    command = [sys.executable, "-m", "lab", "up", "--name", name]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as up:
        assert up.stderr is not None
        next(line for line in up.stderr if "] node centos-master (" in line)
        up.terminate()
        rest = up.stderr.read()
        assert up.wait() == 130, rest
    assert left_of(engine, name) == []


def test_a_failed_up_says_why_and_removes_what_it_made(engine, name, tmp_path):
    file = tmp_path / "lab.yaml"
    file.write_text("flannel: {config: {Network: 10.2.0.0/16, SubnetLen: 8}}\n")
    failed = run_lab("up", "-f", str(file), "--name", name)
    assert failed.returncode == 1
    assert "SubnetLen" in failed.stderr, failed.stderr
    assert "Traceback" not in failed.stderr
    assert left_of(engine, name) == []
