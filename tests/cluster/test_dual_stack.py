"""Labs with IPv6: beside IPv4, and alone, with a router between."""

import json

import pytest

from lab import checks, spec, wait
from lab.cluster import Lab
from lab.pytest_plugin.labs import temporary_lab
from tests.cluster.examples import example
from tests.cluster.judging import subnets, wait_until_right, wrong

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

# Nodes with no IPv4 address on any network, so that all of it goes by IPv6: etcd, the tunnel, pods.
ALONE = """
name: six
segments:
  near: {ipv4: false, ipv6: true}
  far: {ipv4: false, ipv6: "fd00:77::/64"}
nodes:
- {name: router, services: [], host: 254, alsoOn: [{segment: far, host: 253}], router: true}
- {name: master, role: master, host: 10}
- {name: minion1, role: minion, host: 11}
- {name: minion2, role: minion, host: 12, segment: far}
flannel:
  config:
    EnableIPv4: false
    EnableIPv6: true
    IPv6Network: 2001:cafe:42::/56
    Backend: {Type: vxlan, DirectRouting: true}
"""


@pytest.fixture(scope="module")
def dual_stack(engine):
    yield from example(engine, "dual-stack.yaml")


@pytest.fixture(scope="module")
def six(engine):
    with temporary_lab(engine, spec.load(ALONE, "six.yaml")) as outcome:
        yield outcome.lab


def routes(lab: Lab, node: str, family: str) -> str:
    return lab.node(node).run(["ip", family, "route"]).text


def test_pods_are_reached_by_both_families_and_each_has_its_tunnel(dual_stack):
    assert wrong(dual_stack) == []
    found = checks.run_all(dual_stack)
    pairs = {("minion1", "minion2"), ("minion2", "minion1")}
    for check in ("ping.nodes", "ping.nodes6"):
        assert {item.subject.names for item in found if item.id == check} == pairs
    assert " dev flannel.1 " in routes(dual_stack, "minion1", "-4")
    assert " dev flannel-v6.1 " in routes(dual_stack, "minion1", "-6")


def test_leases_name_the_addresses_of_both_families_as_flannels_do(dual_stack):
    for lease in checks.run_all(dual_stack, ["leases.value"]):
        value = json.loads(lease.seen.text)
        # ADDRESS of the lab file's host 11 is .11, and ::11.
        host = lease.subject.names[0].replace("minion", "1")
        assert value["PublicIP"].endswith(f".{host}")
        assert value["PublicIPv6"].endswith(f"::{host}")
        assert set(value) >= {"BackendData", "BackendV6Data"}


def test_an_address_of_ipv6_that_is_gone_is_told_and_of_ipv4_nothing(dual_stack):
    node = dual_stack.node("minion1")
    node.run(["ip", "-6", "address", "flush", "dev", "docker0", "scope", "global"])
    failing = {item.id for item in checks.failed(checks.run_all(dual_stack))}
    node.run(["systemctl", "restart", "docker"])
    wait_until_right(dual_stack)
    assert {"docker0.address", "ping.nodes6"} <= failing
    assert not {"ping.nodes", "overlay.address", "leases.value"} & failing


def test_a_minion_that_reboots_is_reached_by_both_families_again(dual_stack):
    node = dual_stack.node("minion2")
    dual_stack.engine.restart(node.container.id)
    wait_until_right(dual_stack)


def test_a_minion_that_moves_to_another_subnet_leaves_no_route_of_the_former_one(dual_stack):
    before = subnets(dual_stack)["minion1"]
    with dual_stack.fault("lease-steal", "minion1"):
        wait.until(
            lambda: subnets(dual_stack)["minion1"] != before or wait.NotYet("it has not moved"),
            what="minion1 to move to another subnet",
            timeout=30,
        )
    wait_until_right(dual_stack)  # Docker follows, and no route too many is left


def test_minions_that_are_parted_are_parted_by_both_families(dual_stack):
    with dual_stack.fault("partition", "minion1", "minion2"):
        failing = {item.id for item in checks.failed(checks.run_all(dual_stack, ["ping.*"]))}
    wait_until_right(dual_stack)
    assert failing == {"ping.nodes", "ping.nodes6"}


def test_nothing_of_ipv6_leaves_the_lab(dual_stack, six):
    for lab in (dual_stack, six):
        for node in lab.spec.nodes:
            assert "default" not in routes(lab, node.name, "-6")


def test_without_ipv4_etcd_the_overlay_and_mysql_do_their_work(six):
    assert wrong(six) == []
    found = {item.id for item in checks.run_all(six)}
    assert {"ping.nodes6", "ping.pods6", "login.mysql", "leases.value"} <= found
    assert not {"ping.nodes", "ping.pods"} & found
    addresses = six.node("minion1").run(["ip", "-4", "-o", "address", "show", "dev", "eth0"]).text
    assert addresses == ""


def test_a_router_joins_segments_of_ipv6(six):
    there = str(six.node("minion2").address)
    assert there == "fd00:77::12"
    said = six.node("minion1").run(["ping", "-n", "-c", "1", "-W", "5", there]).text
    assert " ttl=63 " in said  # of 64, one for the router
    assert " dev flannel-v6.1 " in routes(six, "minion1", "-6")  # no DirectRouting by way of a router
