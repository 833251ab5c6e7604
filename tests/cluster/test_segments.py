"""Two networks with a router between them."""

import re

import pytest

from lab import checks, spec
from lab.pytest_plugin.labs import temporary_lab
from tests.cluster.examples import example
from tests.cluster.judging import wait_until_right, wrong

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]


@pytest.fixture(scope="module")
def two_racks(engine):
    yield from example(engine, "two-racks.yaml")


def ways_of(lab, node: str) -> dict[str, str]:
    """By device, the lines of a node's routes to subnets of the overlay that are others'."""
    lines = lab.node(node).run(["ip", "-4", "route"]).text.splitlines()
    others = [line for line in lines if line.startswith("10.6.") and " dev docker0 " not in line]
    return {line.split()[4]: line for line in others}


def test_between_racks_packets_are_encapsulated_and_within_one_they_are_not(two_racks):
    assert wrong(two_racks) == []
    ways = ways_of(two_racks, "minion11")
    assert set(ways) == {"eth0", "flannel.1"}
    assert ways["eth0"].split()[2] == str(two_racks.node("minion12").address)


def test_all_that_goes_between_racks_passes_the_router(two_racks):
    router, there = two_racks.node("router"), two_racks.node("minion21")
    assert set(addresses(router)) == {"lo", "eth0", "eth1"}
    said = two_racks.node("minion11").run(["ping", "-n", "-c", "1", "-W", "5", str(there.address)]).text
    assert " ttl=63 " in said  # of 64, one for the router


def test_what_machines_send_on_a_segment_is_as_late_as_the_lab_file_says(two_racks):
    def took(node: str, to: str) -> float:
        address = str(two_racks.node(to).address)
        said = two_racks.node(node).run(["ping", "-n", "-c", "5", "-i", "0.2", "-W", "5", address]).text
        return min(float(each) for each in re.findall(r"time=([\d.]+) ms", said))

    # There by way of the router, which sends on rack2, and back: 5 ms each.
    assert 10 <= took("minion11", "minion21") < 20
    assert took("minion11", "minion12") < 10


def test_a_router_that_reboots_has_its_interfaces_and_joins_the_racks_again(two_racks):
    router = two_racks.node("router")
    before = addresses(router)
    two_racks.engine.restart(router.container.id)
    wait_until_right(two_racks)
    assert addresses(router) == before


def addresses(node):
    """By interface, in whatever order the kernel has them."""
    lines = node.run(["ip", "-4", "-o", "address"]).text.splitlines()
    return dict(line.split()[1:4:2] for line in lines)


# One minion is behind a router, and host-gw has no tunnel.
HOST_GW = """
name: off-link
segments: {near: {}, far: {}}
nodes:
- {name: router, services: [], host: 254, alsoOn: [{segment: far, host: 254}], router: true}
- {name: master, role: master, host: 10}
- {name: minion1, role: minion, host: 11}
- {name: minion2, role: minion, host: 12}
- {name: minion3, role: minion, host: 13, segment: far}
flannel: {config: {Network: 10.16.0.0/16, Backend: {Type: host-gw}}}
pods: []
"""


@pytest.fixture(scope="module")
def off_link(engine):
    with temporary_lab(engine, spec.load(HOST_GW, "off-link.yaml")) as outcome:
        yield outcome.lab


def test_host_gw_leads_to_neighbours_and_to_nobody_behind_a_router(off_link):
    assert wrong(off_link) == []
    found = checks.run_all(off_link, ["ping.nodes"])
    pairs = {item.subject.names for item in found if item.id == "ping.nodes"}
    assert pairs == {("minion1", "minion2"), ("minion2", "minion1")}
    routes = off_link.node("minion3").run(["ip", "-4", "route", "show", "root", "10.16.0.0/16"]).text
    assert [line.split()[2] for line in routes.splitlines()] == ["docker0"]
    # The flanneld says so itself, in a line for each peer.
    log = off_link.node("minion3").run(["journalctl", "-u", "flanneld", "--no-pager", "-o", "cat"]).text
    assert str(off_link.node("minion1").address) in log
