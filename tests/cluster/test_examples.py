"""Every lab file of examples/ comes up, and all checks hold, its own among them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import checks, spec
from lab.cluster import Lab
from lab.fixtures import temporary_lab
from lab.flannel import ETCD_V3, parse_version
from tests.cluster.judging import wait_until_right, wrong
from tests.cluster.reference import WITHOUT, references

pytestmark = pytest.mark.cluster

FOLDER = Path(__file__).parents[2] / "examples"
OF_OTHER_TESTS = {"tutorial.yaml", "mixed-versions.yaml"}
"""The tutorial's cluster has its own tests; the other one needs a genuine flannel."""


def example(engine, path: str) -> Iterator[Lab]:
    with temporary_lab(engine, spec.load_file(FOLDER / path)) as outcome:
        yield outcome.lab


@pytest.fixture(scope="module")
def three_members(engine):
    yield from example(engine, "three-etcd-members.yaml")


@pytest.fixture(scope="module")
def five_minions(engine):
    yield from example(engine, "five-minions.yaml")


@pytest.fixture(scope="module")
def own_daemon(engine):
    yield from example(engine, "own-daemon/lab.yaml")


FILES = {"cacert": "ca", "cert": "node", "key": "node-key"}
TESTED = {"three-etcd-members.yaml", "five-minions.yaml", "own-daemon/lab.yaml"}


def test_every_example_is_brought_up_by_a_test():
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")}
    assert files == TESTED | OF_OTHER_TESTS


def test_the_tutorials_example_is_what_lab_up_brings_up_without_a_file():
    assert spec.load_file(FOLDER / "tutorial.yaml") == spec.tutorial()


def test_three_members_of_etcd_agree_and_every_check_holds(three_members):
    assert wrong(three_members) == []
    for node in three_members.nodes.values():
        listed = node.run(["etcdctl", "member", "list"]).text
        assert listed.count("started") == 3
        env = node.run(["cat", "/etc/sysconfig/flanneld"]).text
        assert 'FLANNEL_ETCD="https://node1:2379,https://node2:2379,https://node3:2379"' in env


def test_etcd_with_tls_and_users_lets_in_nobody_else(three_members):
    node = three_members.node("node2")
    prefix = three_members.spec.etcd_prefix
    get = ["/usr/bin/etcdctl", "--command-timeout=1s", "--dial-timeout=1s", "get", "--prefix", prefix]
    plain = node.run([*get, "--endpoints=http://node1:2379"], check=False)
    assert plain.exit_code != 0
    files = [f"--{kind}=/etc/overlay-lab/etcd/{name}.pem" for kind, name in FILES.items()]
    there = [*get, "--endpoints=https://node1:2379"]
    stranger = node.run([*there, files[0]], check=False)  # without a certificate
    assert stranger.exit_code != 0
    nobody = node.run([*there, *files], check=False)  # its name is a node's, and no user's
    assert nobody.exit_code != 0
    assert "permission denied" in nobody.output


def test_flannels_user_has_flannels_keys_alone(three_members):
    node = three_members.node("node3")
    script = """
        . /etc/sysconfig/flanneld
        export ETCDCTL_USER=$FLANNELD_ETCD_USERNAME ETCDCTL_PASSWORD=$FLANNELD_ETCD_PASSWORD
        export ETCDCTL_CACERT=$0/ca.pem ETCDCTL_CERT=$0/node.pem ETCDCTL_KEY=$0/node-key.pem
        export ETCDCTL_ENDPOINTS=$FLANNEL_ETCD
        /usr/bin/etcdctl get --print-value-only /coreos.com/network/config && /usr/bin/etcdctl put /other x
    """
    done = node.run(["sh", "-c", script, "/etc/overlay-lab/etcd"], check=False)
    assert '"Network": "10.3.0.0/16"' in done.text
    assert done.exit_code != 0
    assert "permission denied" in done.output


def test_passwords_and_keys_are_on_the_nodes_and_nowhere_else(three_members):
    node = three_members.node("node1")
    secrets = [
        line.partition("=")[2]
        for line in node.run(["cat", "/etc/overlay-lab/etcdctl.env"]).text.splitlines()
        if "PASSWORD" in line
    ]
    assert len(secrets) == 2
    api = three_members.engine._api  # the engine's own words, of which the lab reads a part
    told = json.dumps([api.inspect_container(item.container.id) for item in three_members.nodes.values()])
    told += json.dumps(api.inspect_network(three_members.network.id))
    told += node.run(["ps", "-ww", "-eo", "args"]).text
    assert [word for word in secrets if word in told] == []
    assert "PRIVATE KEY" not in told
    modes = node.run(["stat", "-c", "%a", "/etc/overlay-lab/etcdctl.env", "/etc/sysconfig/flanneld"]).text
    assert modes.split() == ["600", "600"]


def test_without_one_member_of_etcd_flannel_goes_on(three_members):
    first = three_members.node("node1")
    first.run(["systemctl", "stop", "etcd"])
    try:
        # A lease that is written now reaches the others: the daemon asks the members that are left.
        three_members.node("node2").run(["systemctl", "restart", "flanneld"])
        found = checks.run_all(three_members, ["leases.*", "routes.*", "ping.nodes"])
        # That its own etcd does not answer is all that is told.
        assert {(item.id, item.subject.names) for item in checks.failed(found)} == {
            ("node.answers", ("node1",))
        }
    finally:
        first.run(["systemctl", "start", "etcd"])
    wait_until_right(three_members)


def test_five_minions_have_subnets_of_their_own_and_reach_each_other(five_minions):
    assert wrong(five_minions) == []
    found = checks.run_all(five_minions, ["ping.nodes"])
    assert sum(item.id == "ping.nodes" for item in found) == 20


def test_a_daemon_of_ones_own_carries_packets_without_flannel_and_etcd(own_daemon):
    assert wrong(own_daemon) == []
    found = {(item.id, str(item.subject)) for item in checks.run_all(own_daemon)}
    assert {("ping.nodes", "left -> right"), ("ping.nodes", "right -> left")} <= found
    assert ("service.active", "left") in found
    left = own_daemon.node("left").run(["ip", "-4", "-o", "address", "show", "docker0"]).text
    assert " 10.7.11.1/24 " in left


def test_a_check_of_the_lab_files_own_fails_when_it_does_not_hold(own_daemon):
    left = own_daemon.node("left")
    left.run(["ip", "route", "del", "10.7.12.0/24"])
    try:
        found = checks.failed(checks.run_all(own_daemon, ["file.command"]))
        assert [(item.title, item.subject.names) for item in found] == [
            ("a route to the other node's containers", ("left",))
        ]
    finally:
        left.run(["systemctl", "restart", "static-routes"])
    wait_until_right(own_daemon)


def test_what_lab_up_waits_for_includes_a_machines_own_units(own_daemon):
    state = own_daemon.node("right").run(["systemctl", "is-active", "static-routes", "docker"]).text
    assert state.split() == ["active", "active"]


@pytest.mark.skipif(not references(), reason=WITHOUT)
def test_two_flannels_side_by_side(engine, tmp_path):
    v3 = [item for item in references() if (parse_version(item.version) or ETCD_V3) >= ETCD_V3]
    if not v3:
        pytest.skip("no genuine flannel of today is named")
    shutil.copy(FOLDER / "mixed-versions.yaml", tmp_path)
    shutil.copy(v3[0].path, tmp_path / "flanneld-0.20.2")
    with temporary_lab(engine, spec.load_file(tmp_path / "mixed-versions.yaml")) as outcome:
        assert [item for item in outcome.findings if not item.ok] == []
