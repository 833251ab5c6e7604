"""Impairments of a machine meet what its pods send and receive, whatever carries that across the underlay."""

from collections.abc import Iterator

import pytest

from flanneld_py.datapath import fast_path
from lab.faults import impairment
from tests.kernel.fast_path import gets_all, goes_on_without
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes
from tests.kernel.harness import Host, Sandbox
from tests.kernel.impairments import Machine, flow, is_delayed, state, within

pytestmark = pytest.mark.kernel

NEEDS_FAST_PATH = pytest.mark.skipif(
    not fast_path.is_compiled(), reason="there was no clang to compile the fast path"
)
ALONE = "-pod-source-check=off"
"""Or there would be a table of the daemon's, a while after the pods' bridge, that was not there before."""

WAYS = [
    "plain",
    "offloads",
    pytest.param("fast path", marks=NEEDS_FAST_PATH),
    "vxlan",
    "host-gw",
]


@pytest.fixture(params=WAYS)
def overlay(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[tuple[Node, Node]]:
    """Two machines with pods that reach each other; with the fast path without a daemon that could."""
    way = request.param
    configure(sandbox, "udp" if way in UDP_WAYS else way)
    here, there = nodes(sandbox, 2, ALONE, *UDP_WAYS.get(way, ()))
    here.inside.reaches(there.inside.address, here.inside.address)
    if way == "fast path":
        for node in (here, there):
            node.daemon.says("Packets are carried by the fast path")
        goes_on_without(here.inside, there.inside, here, there)
    yield here, there
    impairment.clear(Machine(here.host))  # of a test that has failed
    for node in (here, there):
        node.daemon.signal("CONT")


def peers(node: Node) -> tuple[str, str]:
    """With host-gw, pods' packets cross the underlay under their own addresses."""
    return node.host.address, f"{node.host.subnet}.0/24"


def ends(here: Node, there: Node, direction: str) -> tuple[Host, Host]:
    return (here.inside, there.inside) if direction == "out" else (there.inside, here.inside)


@pytest.mark.thorough
@pytest.mark.parametrize("direction", ["out", "in"])
def test_pods_packets_are_delayed_lost_and_cut_in_that_direction_alone(overlay, way, direction):
    here, there = overlay
    machine, before = Machine(here.host), state(here.host)
    source, sink = ends(here, there, direction)

    machine.impair("slow", "delay 100ms", *peers(there), direction=direction, way=way)
    assert is_delayed(source, sink, 0.1)
    machine.stop("slow")

    machine.impair("lossy", "loss 20%", *peers(there), direction=direction, way=way)
    assert within(flow(source, sink, 500, 0.001).lost, 500, 0.2)
    assert flow(sink, source, 100).is_whole()
    machine.stop("lossy")

    machine.impair("gone", "cut", *peers(there), direction=direction)
    assert not flow(source, sink, 50).numbers
    assert flow(sink, source, 50).is_whole()
    machine.stop("gone")

    assert flow(source, sink, 50).is_whole()
    assert state(here.host) == before


@pytest.mark.thorough
def test_pods_connections_keep_their_content_beside_an_impairment_and_under_one(overlay, way):
    here, there = overlay
    machine, before = Machine(here.host), state(here.host)
    for what, protocol, port in (("cut", "tcp", 2379), ("delay 2ms", "", 0)):
        whom = peers(there) if what != "cut" else ()
        machine.impair("x", what, *whom, protocol=protocol, port=port, direction="both", way=way)
        gets_all(here.inside, there.inside, there.inside.address, 4)
        gets_all(there.inside, here.inside, here.inside.address, 4)
        for source, sink in ((here.inside, there.inside), (there.inside, here.inside)):
            assert flow(source, sink, 50).is_whole()
        machine.stop("x")
    assert state(here.host) == before


@pytest.mark.thorough
@NEEDS_FAST_PATH
def test_only_the_overlays_port_is_cut_and_the_machines_still_reach_each_other(sandbox):
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, ALONE, *UDP_WAYS["fast path"])
    here.inside.reaches(there.inside.address, here.inside.address)
    with Machine(here.host).impaired("cut", protocol="udp", port=8285, direction="both"):
        assert not flow(here.inside, there.inside, 50).numbers
        assert not flow(there.inside, here.inside, 50).numbers
        assert flow(here.host, there.host, 50).is_whole()
    assert flow(here.inside, there.inside, 50).is_whole()
