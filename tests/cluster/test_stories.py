"""What happens to a lab over time: restarts, reboots, neighbours, removal."""

import json
from contextlib import closing

import docker
import pytest

from lab import checks, spec, status, wait
from lab.checks import Kind
from lab.cluster import Lab
from lab.cluster.create_pods import create_pods
from lab.deadlines import patience
from lab.engine import FileContent
from lab.errors import LabError
from lab.events import Reporter
from lab.labels import CACHE, NAME
from lab.node.kubelet import DockerDown
from lab.pods import name_on_machine
from lab.pods.manifest import from_document
from tests.cluster.judging import subnets, wait_until_right, wrong
from tests.cluster.pausing import paused
from tests.cluster.registry import registry
from tests.lab.labfile import lab_file

pytestmark = pytest.mark.cluster


@pytest.fixture
def worn(lab):
    """The shared lab: it is treated badly, and right again after each story."""
    return lab


def test_a_restarted_flanneld_keeps_its_subnet_and_the_pods_come_back(worn):
    lab = Lab.get(worn.engine, worn.name)
    before = subnets(lab)
    lab.node("centos-minion01").run(["systemctl", "restart", "flanneld"])
    wait_until_right(lab)
    assert subnets(lab) == before


@pytest.mark.thorough
def test_a_flanneld_that_was_killed_comes_back_by_itself_with_its_subnet(worn):
    lab = Lab.get(worn.engine, worn.name)
    minion, before = lab.node("centos-minion01"), subnets(lab)
    killed = minion.run(["systemctl", "show", "--property=MainPID", "--value", "flanneld"]).text.strip()
    minion.run(["kill", "-KILL", killed])
    wait.until(lambda: _runs_again(minion, killed), what="another flanneld", timeout=60 * patience())
    wait_until_right(lab)
    assert subnets(lab) == before


def _runs_again(minion, killed):
    shown = minion.run(["systemctl", "show", "--property=MainPID,ActiveState", "--value", "flanneld"]).text
    pid, state = shown.split()
    return (pid not in {"0", killed} and state == "active") or wait.NotYet(shown)


@pytest.mark.thorough
def test_a_flanneld_that_systemd_starts_in_vain_is_told_with_its_reason(worn):
    lab = Lab.get(worn.engine, worn.name)
    minion = lab.node("centos-minion01")
    minion.run(["mv", "/usr/bin/flanneld", "/usr/bin/flanneld.right"])
    lab.engine.put_files(
        minion.container.id,
        {"/usr/bin/flanneld": FileContent(b"#!/bin/sh\necho no tea >&2\nexit 1\n", 0o755)},
    )
    minion.run(["systemctl", "restart", "flanneld"], check=False)
    with pytest.raises(LabError, match=r"because flanneld\.service failed\n(.*\n)*flanneld: no tea"):
        minion.start_service("docker")
    minion.run(["mv", "/usr/bin/flanneld.right", "/usr/bin/flanneld"])
    minion.run(["systemctl", "reset-failed", "flanneld"])
    minion.start_service("docker")
    wait_until_right(lab)


def test_a_rebooted_node_keeps_its_subnet_and_its_pod(worn):
    lab = Lab.get(worn.engine, worn.name)
    before = subnets(lab)
    lab.engine.restart(lab.node("centos-minion02").container.id)
    lab = Lab.get(lab.engine, lab.name)
    lab.node("centos-minion02").start_service("docker")
    wait_until_right(lab)
    assert subnets(lab) == before


@pytest.mark.thorough
def test_a_stopped_flanneld_is_seen_and_not_started_by_looking(worn):
    lab = Lab.get(worn.engine, worn.name)
    minion = lab.node("centos-minion01")
    minion.run(["systemctl", "stop", "flanneld"])
    found = {(finding.id, str(finding.subject), finding.subject.part) for finding in wrong(lab)}
    assert {
        ("overlay.address", minion.name, "flannel0"),
        ("routes.overlay", minion.name, ""),
        ("pod.running", "mysql02", ""),
        ("service.active", minion.name, "flanneld"),
        ("service.active", minion.name, "docker"),
    } <= found
    assert [node.name for node in status.nodes(status.look(lab)) if not node.ok] == [minion.name]
    assert not {subject for _, subject, _ in found} & {"centos-master", "centos-minion02", "mysql01"}
    # Docker is required to have flanneld, so it has stopped with it; "failed" where that took long.
    states = minion.run(["systemctl", "is-active", "flanneld", "docker"], check=False).text.split()
    assert states[0] == "inactive"
    assert states[1] in {"inactive", "failed"}
    with pytest.raises(DockerDown, match="centos-minion01: its Docker does not answer"):
        lab.pod("mysql02")
    minion.run(["systemctl", "start", "docker"])
    wait_until_right(lab)


def pairs(findings, check):
    return {finding.subject.names for finding in findings if finding.id == check}


@pytest.mark.thorough
def test_a_machine_that_stands_still_is_told_of_and_the_others_are_looked_at_all_the_same(worn, run_lab):
    lab = Lab.get(worn.engine, worn.name)
    with paused(lab, "centos-minion01"):
        found = checks.run_all(Lab.get(worn.engine, worn.name))
        # Paused after it was found: then the engine refuses to run anything there.
        late = checks.run_all(lab)
        pods = run_lab("pod", "ls", "--name", worn.name)
    assert (pods.returncode, "mysql01" in pods.stdout, "mysql02" in pods.stdout) == (1, True, False)
    assert "which pods centos-minion01 has is not known: " in pods.stderr
    for findings in (found, late):
        silent = [item for item in findings if item.id == "node.answers"]
        assert [str(item.subject) for item in silent] == ["centos-minion01"]
        assert "paused" in silent[0].seen.text
        kept = {(item.id, str(item.subject), item.subject.part) for item in findings if item.ok}
        assert {
            ("service.active", "centos-master", "etcd"),
            ("service.active", "centos-minion02", "docker"),
            ("leases.value", "centos-minion02", ""),
            ("overlay.mtu", "centos-minion02", "flannel0"),
            ("routes.overlay", "centos-minion02", ""),
            ("pod.running", "mysql01", ""),
            ("pod.address", "mysql01", "eth0"),
        } <= kept
        wrong_of_others = {
            (item.id, str(item.subject)) for item in findings if not item.ok and item.kind is Kind.FAIL
        }
        assert {identifier for identifier, _ in wrong_of_others} <= {"node.answers"}
    wait_until_right(lab)


@pytest.mark.thorough
def test_a_minion_that_forwards_nothing_is_seen_whether_or_not_it_has_a_pod_and_looking_leaves_nothing(worn):
    lab = Lab.get(worn.engine, worn.name)
    minion = lab.node("centos-minion02")
    pod = lab.pod("mysql01")
    assert pod.node == minion.name
    lab.remove_pod(pod.name)
    minion.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"])
    probes = pairs(wrong(lab), "ping.nodes")
    assert probes == {("centos-minion01", "centos-minion02"), ("centos-minion02", "centos-minion01")}
    minion.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    # Only new connections towards containers: what a missing rule of flannel's leaves when FORWARD drops.
    new = ["FORWARD", "-o", "docker0", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"]
    minion.run(["iptables", "-I", *new])
    probes = pairs(wrong(lab), "ping.nodes")
    assert probes == {("centos-minion01", "centos-minion02")}
    minion.run(["iptables", "-D", *new])
    create_pods(lab, [pod.spec], Reporter())
    wait_until_right(lab)
    for node in lab.minions:
        devices = [link["ifname"] for link in json.loads(node.run(["ip", "-json", "link"]).text)]
        assert not [name for name in devices if name.startswith("lab")]


@pytest.mark.thorough
def test_a_pods_image_may_be_named_with_a_registrys_port_a_tag_and_a_digest(worn):
    lab = Lab.get(worn.engine, worn.name)
    program = lab.node("centos-minion01").run(["cat", "/usr/bin/busybox"]).stdout
    with registry(program, lab.engine.arch) as (address, digest):
        image = f"{address}/tiny:1@{digest}"
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tiny"}}
        container = {"name": "tiny", "image": image, "command": ["/busybox", "sleep", "infinity"]}
        try:
            tiny = from_document({**manifest, "spec": {"containers": [container]}}, "tiny.yaml")
            create_pods(lab, [tiny], Reporter())
        finally:
            if (pulled := lab.engine.image(f"{address}/tiny@{digest}")) is not None:
                lab.engine.remove_image(pulled.id)
    there = lab.pod("tiny")
    assert (there.status, there.ready) == ("Running", "1/1")
    lab.remove_pod("tiny")
    lab.node(there.node).run(["docker", "image", "rm", name_on_machine(image)])
    missing = {**container, "image": f"127.0.0.1:9/tiny@sha256:{'0' * 64}"}
    tiny = from_document({**manifest, "spec": {"containers": [missing]}}, "tiny.yaml")
    with pytest.raises(LabError, match="is neither on the engine nor to be pulled"):
        create_pods(lab, [tiny], Reporter())


def volumes_of(container):
    """The names of the volumes, anonymous ones too, that a container mounts."""
    with closing(docker.from_env()) as client:
        mounts = client.containers.get(container).attrs["Mounts"]
    return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}


def test_up_then_up_again_then_down_leaves_nothing(engine, name, run_lab, left_of, tmp_path):
    first = run_lab("up", "--name", name)
    assert first.returncode == 0, first.stderr
    containers = engine.containers({NAME: name})
    caches = {volume.name for volume in engine.volumes([CACHE])}
    volumes = {volume for item in containers for volume in volumes_of(item.id)} - caches
    assert volumes

    again = run_lab("up", "--name", name)
    assert again.returncode == 0
    assert "up already" in again.stdout
    assert {item.id for item in engine.containers({NAME: name})} == {item.id for item in containers}

    file = tmp_path / "lab.yaml"
    file.write_text(lab_file(spec.tutorial()).replace("p123456", "p654321"))
    other = run_lab("up", "--name", name, "-f", str(file))
    assert other.returncode == 1
    assert "was made from another lab file" in other.stderr

    gone = run_lab("down", "--name", name)
    assert gone.returncode == 0
    assert left_of(name) == []
    assert volumes & {volume.name for volume in engine.volumes([])} == set()
