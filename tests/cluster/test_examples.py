"""Every lab file of examples/ comes up, and all checks hold, its own among them."""

import shutil

import pytest

from lab import checks, spec
from lab.flannel import ETCD_V3, parse_version
from lab.pytest_plugin.labs import temporary_lab
from tests.cluster.examples import FOLDER, example
from tests.cluster.judging import wait_until_right, wrong
from tests.cluster.reference import WITHOUT, references

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

TESTED = {
    "behind-nat.yaml": "test_nat.py",
    "dual-stack.yaml": "test_dual_stack.py",
    "five-minions.yaml": "here",
    "mixed-versions.yaml": "here, if a genuine flannel is named",
    "on-link.yaml": "test_on_link.py",
    "own-daemon/lab.yaml": "here",
    "pytest-project/lab.yaml": "test_installed.py",
    "small-packets.yaml": "here",
    "three-etcd-members.yaml": "test_etcd_members.py",
    "tutorial.yaml": "test_cluster.py: it is the tutorial's cluster",
    "two-networks.yaml": "here",
    "two-racks.yaml": "test_segments.py",
}
"""Where each one is brought up."""


@pytest.fixture(scope="module")
def five_minions(engine):
    yield from example(engine, "five-minions.yaml")


@pytest.fixture(scope="module")
def small_packets(engine):
    yield from example(engine, "small-packets.yaml")


@pytest.fixture(scope="module")
def two_networks(engine):
    yield from example(engine, "two-networks.yaml")


@pytest.fixture(scope="module")
def own_daemon(engine):
    yield from example(engine, "own-daemon/lab.yaml")


def test_every_example_is_brought_up_by_a_test():
    assert {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml")} == set(TESTED)


def test_both_examples_with_a_daemon_have_the_same_one():
    first, second = (FOLDER / name / "static-routes" for name in ("own-daemon", "pytest-project"))
    assert first.read_text() == second.read_text()


def test_the_tutorials_example_is_what_lab_up_brings_up_without_a_file():
    assert spec.load_file(FOLDER / "tutorial.yaml") == spec.tutorial()


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


def test_on_a_network_of_small_packets_every_device_is_as_small_as_it_has_to_be(small_packets):
    assert wrong(small_packets) == []
    found = {item.id: item.seen.text for item in checks.run_all(small_packets, ["*.mtu"])}
    # 1400, less 20 for IPv4 and 8 for UDP, in which flannel's udp wraps packets.
    assert found == {"underlay.mtu": "1400", "overlay.mtu": "1372", "docker0.mtu": "1372", "pod.mtu": "1372"}


def test_a_flanneld_that_is_told_to_take_the_second_network_announces_its_address_there(two_networks):
    assert wrong(two_networks) == []
    data = two_networks.given["data"]
    found = {
        item.id: item.seen.text for item in checks.run_all(two_networks, ["overlay.mtu", "leases.value"])
    }
    assert f'"PublicIP":"{data[12]}"' in found["leases.value"]
    assert found["overlay.mtu"] == "8950"  # 9000, less vxlan's 50


def test_minions_that_are_parted_on_their_second_network_do_not_reach_each_other(two_networks):
    with two_networks.fault("partition", "minion1", "minion2", device="eth1"):
        failing = {
            item.id for item in checks.failed(checks.run_all(two_networks, ["ping.nodes", "leases.*"]))
        }
        assert failing == {"ping.nodes"}
    wait_until_right(two_networks)


@pytest.mark.skipif(not references(), reason=WITHOUT)
def test_two_flannels_side_by_side(engine, tmp_path):
    v3 = [item for item in references() if (parse_version(item.version) or ETCD_V3) >= ETCD_V3]
    if not v3:
        pytest.skip("no genuine flannel of today is named")
    shutil.copy(FOLDER / "mixed-versions.yaml", tmp_path)
    shutil.copy(v3[0].path, tmp_path / "flanneld-0.20.2")
    with temporary_lab(engine, spec.load_file(tmp_path / "mixed-versions.yaml")) as outcome:
        assert [item for item in outcome.findings if not item.ok] == []
