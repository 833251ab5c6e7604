"""A lab whose network is bad, or in two parts, and what its checks say of that."""

from collections.abc import Iterator

import pytest

from lab.cluster import Lab
from lab.faults import impairment
from lab.faults.impairment import Rule, Status, parse_impairment, parse_match
from lab.node import Node
from tests.cluster.judging import wait_until_right, wrong

pytestmark = pytest.mark.cluster

ONE, TWO = "centos-minion01", "centos-minion02"


@pytest.fixture
def lab(lab: Lab) -> Iterator[Lab]:
    """The shared one, right before and after."""
    found = Lab.get(lab.engine, lab.name)
    yield found
    for node in found.nodes.values():
        impairment.clear(node)
        assert impairment.status(node) == Status((), ())
    wait_until_right(found)


def begin(node: Node, what: str, *peers: Node, **which: str) -> None:
    match = parse_match([str(peer.address) for peer in peers], **which)
    impairment.start(node, Rule("story", parse_impairment(what), match))
    (standing,) = impairment.status(node).rules
    assert standing.in_force, standing.missing


@pytest.mark.thorough
def test_every_check_holds_over_a_slow_network_that_doubles_packets(lab):
    begin(lab.nodes[ONE], "delay 20ms jitter 5ms duplicate 5%")
    assert wrong(lab) == []


@pytest.mark.thorough
def test_no_flow_notices_that_a_minion_is_cut_from_etcd(lab):
    begin(lab.nodes[ONE], "cut", protocol="tcp", port="2379")
    assert wrong(lab) == []


def test_what_is_between_two_minions_fails_when_they_are_cut_from_each_other_and_nothing_else(lab):
    begin(lab.nodes[ONE], "cut", lab.nodes[TWO])
    failing = {finding.id.partition(".")[0] for finding in wrong(lab)}
    assert {"ping", "login"} <= failing <= {"ping", "login", "source"}


@pytest.mark.thorough
def test_a_reboot_ends_what_was_in_force(lab):
    begin(lab.nodes[ONE], "delay 300ms")
    lab.engine.restart(lab.nodes[ONE].container.id)
    assert impairment.status(lab.nodes[ONE]) == Status((), ())
