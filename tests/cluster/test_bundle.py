"""A bundle about a real lab: what is in it when a machine stands still, and what is not."""

import json
import re
import struct
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address

import pytest

from lab import spec, wait
from lab.observe import PASSWORD
from tests.cluster.judging import wait_until_right
from tests.cluster.pausing import paused
from tests.schemas import problems
from tests.unpacked import raw, unpacked

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


@pytest.mark.thorough
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


@pytest.mark.thorough
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


def frames(file: bytes) -> Iterator[bytes]:
    """Those in a file of libpcap (draft-ietf-opsawg-pcap)."""
    at = 24
    while at < len(file):
        (size,) = struct.unpack_from("=I", file, at + 8)
        yield file[at + 16 : at + 16 + size]
        at += 16 + size


def datagrams(file: bytes, port: int) -> Iterator[tuple[IPv4Address, bytes]]:
    """What has come or gone by UDP to a port, and from where."""
    for frame in frames(file):
        if frame[12:14] == b"\x08\0" and frame[23] == 17 and int.from_bytes(frame[36:38]) == port:
            yield IPv4Address(frame[26:30]), frame[42:]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("backend", "port", "before"),
    [
        ("udp", 8285, 0),
        ("vxlan", 8472, 8 + 14),
    ],  # of VXLAN's header and Ethernet's, RFC 7348
)
def test_the_bundle_of_a_check_that_fails_has_the_last_packets_the_faults_and_the_time_line(
    make_lab, run_lab, tmp_path, backend, port, before
):
    two = [{"name": name, "role": "minion", "host": host} for name, host in ((OTHER, 52), (STILL, 53))]
    nodes = [{"name": MASTER, "role": "master", "host": 51}, *two]
    config = {"Network": "10.2.0.0/16", "Backend": {"Type": backend}}
    config = {"Network": "10.2.0.0/16", "Backend": {"Type": backend}}
    file = json.dumps({"nodes": nodes, "flannel": {"config": config}, "pods": []})
    lab = make_lab(spec.load(file, "failing.yaml", name="failing")).lab
    one, other = lab.node(OTHER), lab.node(STILL)

    def keeps_packets(node):
        done = node.run(["test", "-S", "/run/lab-packets"], check=False)
        return done.exit_code == 0 or wait.NotYet("no socket")

    for node in (one, other):
        wait.until(partial(keeps_packets, node), what=f"packets to be kept on {node.name}", timeout=30)

    def gateway(node):
        text = node.run(["cat", "/run/flannel/subnet.env"]).text
        return text.partition("FLANNEL_SUBNET=")[2].partition("/")[0]

    own, far = gateway(one), gateway(other)
    one.run(["ping", "-c", "3", "-i", "0.2", "-I", own, far])
    with lab.fault("partition", OTHER, STILL) as fault:
        done = run_lab("check", "--name", lab.name, "--bundle", str(tmp_path / "why.tar.gz"))
    assert done.returncode == 1, done.stdout
    found, files = unpacked(tmp_path / "why.tar.gz"), raw(tmp_path / "why.tar.gz")

    # What came and went is in it, in the underlay's datagrams, on both machines.
    for node in (one, other):
        for sender, end in {
            one.address: 16,
            other.address: 12,
        }.items():  # whose destination is it, and source
            seen = [
                packet[before + 9]
                for source, packet in datagrams(files[f"packets/{node.name}-eth0.pcap"], port)
                if source == sender and packet[before + end : before + end + 4] == IPv4Address(far).packed
            ]
            assert seen == [1] * 3  # of ICMP
    assert f"packets/{MASTER}-eth0.pcap" in files
    assert re.search(r"(?m)^\S+ \S+ IP ", found[f"packets/{OTHER}-eth0.log"])
    assert f"packets/{OTHER}-eth0.pcap" in found["index.html"]

    (told,) = json.loads(found["faults.json"])["faults"]
    assert (told["id"], told["fault"], told["state"]) == (fault.id, "partition", "on")
    assert f"fault {fault.id} partition" in found["timeline.log"]
    assert re.search(rf"(?m)^\S+ \S+ {OTHER} .*flanneld", found["timeline.log"])
