"""A bundle about a real lab: what is in it when a machine stands still, and what is not."""

import json
import re

import pytest

from lab import spec
from lab.observe import PASSWORD
from tests.cluster.judging import wait_until_right
from tests.cluster.pausing import paused
from tests.schemas import problems
from tests.unpacked import unpacked

pytestmark = pytest.mark.cluster

MASTER, STILL, OTHER = "centos-master", "centos-minion02", "centos-minion01"


def test_a_bundle_tells_of_a_lab_of_which_one_machine_stands_still_and_has_no_password(
    lab, run_lab, tmp_path
):
    file = tmp_path / "bundle.tar.gz"
    with paused(lab, STILL):
        done = run_lab("bundle", "--name", lab.name, "-o", str(file), "--json")
    assert done.returncode == 0, done.stderr
    document, found = json.loads(done.stdout), unpacked(file)
    assert problems("bundle", document) == []

    # Whoever stands still is in it as such, and hides nothing of the others.
    silent = {node["name"]: node["silence"] for node in document["nodes"] if node["silence"]}
    assert list(silent) == [STILL]
    assert "paused" in silent[STILL]
    assert json.loads(found[f"nodes/{STILL}/container.json"])["State"]["Paused"] is True
    unknown = {
        item["id"]: item["subject"]
        for item in json.loads(found["checks.json"])["findings"]
        if item["kind"] != "pass"
    }
    assert unknown["node.answers"]["names"] == [STILL]

    faults = json.loads(found["faults.json"])
    assert [(item["fault"], item["targets"]) for item in faults["faults"]] == [("node-pause", [STILL])]
    assert faults["silent"] == [{"node": STILL, "reason": "its container is paused"}]
    assert "its container is paused" in found["index.html"]

    # Every command that was asked of the others is one that these machines know.
    failed = {item["path"]: found[item["path"]] for item in document["files"] if item["exitStatus"]}
    assert failed == {}

    def of(node, path):
        return found[f"nodes/{node}/{path}"]

    minion = lab.node(OTHER)
    assert of(OTHER, "flannel/subnet.env") == minion.run(["cat", "/run/flannel/subnet.env"]).text
    assert re.search(r"table local", of(OTHER, "network/routes.txt"))
    assert "dev flannel0" in of(OTHER, "network/routes.txt")
    assert "from all lookup main" in of(OTHER, "network/rules.txt")
    assert "chain FORWARD" in of(OTHER, "network/nftables.txt")
    assert "-A FORWARD" in of(OTHER, "network/iptables.txt")
    assert "net.ipv4.ip_forward = 1\n" in of(OTHER, "network/sysctls.txt")
    assert "flannel0" in of(OTHER, "network/links.txt")
    assert str(minion.address) in of(OTHER, "network/sockets.txt")
    assert "flanneld" in of(OTHER, "system/processes.txt")
    assert re.search(r"(?m)^\d{4}-\S+Z \[ *\d+\.\d{6}\] ", of(OTHER, "journal/flanneld.log"))
    assert "ready for connections" in of(OTHER, "docker/logs/mysql02_mysql02.log")
    assert "Server:" in of(OTHER, "docker/info.txt")
    (key,) = [
        item
        for item in json.loads(of(MASTER, "etcd/keys.json"))["keys"]
        if str(minion.address) in item["value"]
    ]
    assert key["key"].startswith("/coreos.com/network/subnets/")
    assert 0 < key["lease"]["secondsLeft"] <= key["lease"]["secondsGranted"] == 86400
    assert key["createRevision"] <= key["modRevision"]
    assert f" {MASTER} " in found["journal.log"]
    assert re.search(rf"(?m)^\S+ \S+ {OTHER} .*Started flanneld.service", found["timeline.log"])
    assert json.loads(found["versions.json"])["engine"]["Version"]
    assert next(iter(found)) == "index.html"

    # The root password is in the containers' environment, and nowhere in the bundle.
    (password,) = {pod.environment[PASSWORD] for pod in spec.tutorial().pods}
    inspected = minion.run(["docker", "inspect", "mysql02_mysql02"]).text
    assert password in inspected
    assert [path for path, text in found.items() if password in text] == []
    wait_until_right(lab)


def tracked(text):
    """Connections of a list: the addresses and ports of both directions."""
    return {tuple(re.findall(r"\b(?:src|dst|sport|dport|id|type)=\S+", line)) for line in text.splitlines()}


def test_tracked_connections_are_those_that_the_kernel_lists(lab, run_lab, tmp_path):
    minion = lab.node(OTHER)
    if minion.run(["test", "-e", "/proc/net/nf_conntrack"], check=False).exit_code != 0:
        pytest.skip("this kernel has no /proc/net/nf_conntrack")
    minion.run(["ping", "-c", "1", MASTER])
    before = tracked(minion.run(["cat", "/proc/net/nf_conntrack"]).text)
    run_lab("bundle", "--name", lab.name, "-o", str(tmp_path / "bundle.tar.gz"))
    asked = tracked(unpacked(tmp_path / "bundle.tar.gz")[f"nodes/{OTHER}/network/conntrack.txt"])
    after = tracked(minion.run(["cat", "/proc/net/nf_conntrack"]).text)
    assert before & after
    assert before & after <= asked


def test_a_flanneld_with_healthz_port_tells_its_state_and_both_of_etcds_stores_their_keys(
    make_lab, run_lab, tmp_path
):
    flannel = {"options": ["-iface=eth0", "-healthz-port=8471"], "etcdApi": "v2"}
    nodes = [{"name": MASTER, "role": "master", "host": 51}, {"name": OTHER, "role": "minion", "host": 52}]
    file = json.dumps({"nodes": nodes, "flannel": flannel, "pods": []})
    lab = make_lab(spec.load(file, "state.yaml", name="state")).lab
    done = run_lab("bundle", "--name", lab.name, "-o", str(tmp_path / "bundle.tar.gz"))
    assert done.returncode == 0, done.stderr
    found = unpacked(tmp_path / "bundle.tar.gz")
    assert json.loads(found[f"nodes/{OTHER}/flannel/state.txt"])
    assert "flanneld_ready" in found[f"nodes/{OTHER}/flannel/metrics.txt"]
    assert "/coreos.com/network/subnets/" in found[f"nodes/{MASTER}/etcd/keys-v2.json"]
    assert json.loads(found[f"nodes/{MASTER}/etcd/keys.json"])["keys"] == []
