"""Machines with single addresses, as clouds give them: what is on the link, routes say."""

import pytest

from lab.cluster import Lab
from tests.cluster.examples import example
from tests.cluster.judging import wait_until_right, wrong

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]


@pytest.fixture(scope="module")
def on_link(engine):
    yield from example(engine, "on-link.yaml")


def ways(lab: Lab, node: str) -> dict[str, str]:
    """By the other minion, the device that leads to its pods."""
    subnets = {
        item.name: item.run(["sh", "-c", ". /run/flannel/subnet.env; echo $FLANNEL_SUBNET"]).text.strip()
        for item in lab.minions
        if item.name != node
    }
    return {
        name: lab.node(node)
        .run(["ip", "-4", "route", "get", subnet.partition("/")[0]])
        .text.split(" dev ")[1]
        .split()[0]
        for name, subnet in subnets.items()
    }


def hops(lab: Lab, node: str, to: str) -> set[str]:
    """The TTLs that answers come with, of 64."""
    said = lab.node(node).run(["ping", "-n", "-c", "3", "-i", "0.2", "-W", "5", to]).text
    return {word for word in said.split() if word.startswith("ttl=")}


def test_a_machine_has_one_address_and_routes_say_the_rest(on_link):
    assert wrong(on_link) == []
    for node in ("minion11", "minion21"):
        words = on_link.node(node).run(["ip", "-4", "-o", "address", "show", "dev", "eth0"]).text.split()
        assert words[3] == f"{on_link.node(node).address}/32"


def test_what_is_on_the_link_by_a_route_is_not_encapsulated_and_what_is_behind_the_gateway_is(on_link):
    assert ways(on_link, "minion11") == {
        "minion12": "eth0",
        "minion21": "flannel.1",
        "minion22": "flannel.1",
    }
    # minion22 is on the same network, and yet only the gateway leads there.
    assert set(ways(on_link, "minion21").values()) == {"flannel.1"}


def test_neighbours_in_the_cloud_go_on_by_the_gateway_whatever_it_tells_them(on_link):
    # A router sends a redirect to who could go straight (RFC 792).
    assert hops(on_link, "minion21", str(on_link.node("minion22").address)) == {"ttl=63"}
    assert hops(on_link, "minion21", "fd6c:6162:0:2::22") == {"ttl=63"}
    assert hops(on_link, "minion11", str(on_link.node("minion12").address)) == {"ttl=64"}


def test_a_machine_that_reboots_has_its_address_and_its_routes_again(on_link):
    node = on_link.node("minion21")
    before = sorted(node.run(["ip", "-4", "route", "show", "dev", "eth0"]).text.splitlines())
    on_link.engine.restart(node.container.id)
    wait_until_right(on_link)
    assert sorted(node.run(["ip", "-4", "route", "show", "dev", "eth0"]).text.splitlines()) == before
