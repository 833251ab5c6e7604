"""Impairments meet what they match and nothing else, several at once as well."""

from collections.abc import Iterator, Sequence

import pytest

from lab.faults import impairment
from tests.kernel.dual_stack import address6
from tests.kernel.harness import Host, Sandbox
from tests.kernel.impairments import (
    DIRECTIONS,
    PORT,
    Machine,
    ends,
    flow,
    is_delayed,
    machine_and_peer,
    state,
)

pytestmark = pytest.mark.kernel


@pytest.fixture
def pair(sandbox: Sandbox) -> Iterator[tuple[Machine, Host]]:
    with machine_and_peer(sandbox) as made:
        yield made


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["cut", "delay 300ms"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_other_ports_protocols_peers_and_families_are_left_alone(sandbox, pair, way, what, direction):
    here, there = pair
    third = sandbox.host("c")
    before = state(here.host)
    here.impair("x", what, there.address, protocol="udp", port=PORT, direction=direction, way=way)
    source, sink = ends(here, there, direction)
    hit = flow(source, sink, 20)
    assert min(hit.took, default=0.3) >= 0.3
    assert bool(hit.numbers) == (what != "cut")
    other = ends(here, third, direction)
    six = (address6(source), address6(sink))
    assert is_delayed(source, sink, 0, port=PORT + 1)
    assert is_delayed(*other, 0)
    assert is_delayed(source, sink, 0, addresses=six)
    assert here.host.run("ping", "-c3", "-i0.2", "-W1", there.address).exit_code == 0
    here.stop("x")
    assert state(here.host) == before


RULES: Sequence[tuple[str, str, str]] = [
    ("wide", "delay 40ms", ""),
    ("narrow", "delay 60ms", "udp"),
    ("slow", "rate 50mbit", ""),
    ("none", "cut", "tcp"),
]


@pytest.mark.thorough
@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)], ids=str)
def test_impairments_nest_and_each_is_removed_exactly(pair, way, order):
    here, there = pair
    whole = state(here.host)
    for identifier, what, protocol in RULES:
        here.impair(identifier, what, protocol=protocol, direction="both", way=way)
    expected = {"wide": 0.04, "narrow": 0.06, "slow": 0, "none": 0}
    # Of what goes out, and of what comes in.
    for source, sink in ((here.host, there), (there, here.host)):
        assert is_delayed(source, sink, 0.1)
    for place in order:
        identifier = RULES[place][0]
        del expected[identifier]
        here.stop(identifier)
        status = impairment.status(here)
        assert {item.rule.identifier for item in status.rules if item.in_force} == set(expected)
        assert not status.strays
        for source, sink in ((here.host, there), (there, here.host)):
            assert is_delayed(source, sink, sum(expected.values()))
    assert state(here.host) == whole


@pytest.mark.thorough
def test_two_devices_of_a_machine_are_impaired_apart(sandbox, pair):
    here, there = pair
    script = f"""
        ip link add name second type veth peer name eth1 netns {here.name}
        ip link set second master br0 up
        ip -n {here.name} link set eth1 up
        ip -n {here.name} address add 192.168.51.11/24 dev eth1
        ip -n {there.name} address add 192.168.51.12/24 dev eth0
    """
    sandbox.run("sh", "-ec", script)
    before = state(here.host)
    here.impair("one", "delay 30ms", direction="both")
    here.impair("two", "delay 70ms", direction="both", device="eth1")
    second, back = ("192.168.51.11", "192.168.51.12"), ("192.168.51.12", "192.168.51.11")
    assert is_delayed(here.host, there, 0.03)
    assert is_delayed(here.host, there, 0.07, addresses=second)
    here.stop("one")
    assert is_delayed(here.host, there, 0)
    assert is_delayed(there, here.host, 0.07, addresses=back)
    here.stop("two")
    assert state(here.host) == before
