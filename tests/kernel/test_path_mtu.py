"""What becomes of packets that are longer than the path takes."""

import re

import pytest

from lab import wait
from tests.kernel.fast_path import gets_all
from tests.kernel.faults import UDP_WAYS, Node, behind_a_narrow_path, configure, start
from tests.kernel.harness import Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

PASSES = 1300 - 28
"""Bytes: the narrow path's, less the outer IPv4 and UDP headers; 1300 - 20 is a multiple of 8."""


def joined(hosts: list[Host], way: str, mtu: int) -> list[Node]:
    """Nodes that know each other, with pods whose interfaces have this MTU, in bytes."""
    made = [Node(host, start(host, *UDP_WAYS[way])) for host in hosts]
    for node in made:
        node.daemon.says("Subnet added: ")
        node.pod = node.host.pod()
        node.inside.run("ip", "link", "set", "eth0", "mtu", str(mtu))
        node.host.run("ip", "link", "set", "docker0", "mtu", str(mtu))
    return made


@pytest.mark.parametrize("way", UDP_WAYS)
def test_who_sends_more_than_a_narrow_path_takes_in_one_piece_is_told_so(sandbox: Sandbox, way: str) -> None:
    """Though that path loses ICMP: the node at its end sees the fragments, and tells across the overlay."""
    configure(sandbox, "udp")
    hosts = [sandbox.host("a"), sandbox.host("b")]
    behind_a_narrow_path(sandbox, *hosts)
    here, there = joined(hosts, way, 1472)
    here.inside.reaches(there.inside.address, here.inside.address)
    argv = ("ping", "-c1", "-W10", "-M", "do", "-s", str(1472 - 28), there.inside.address)

    def probe() -> bool | wait.NotYet:
        told = here.inside.run(*argv, check=False).output
        # Where an interface's MTU is not what the way takes, ip-route(8) shows what was learned.
        known = here.inside.run("ip", "route", "get", there.inside.address).text
        return f" mtu {PASSES} " in known or wait.NotYet(f"{told}{known}")

    eventually(probe, f"the sender to be told {PASSES}")
    # A packet without DF is not worth a word: it arrives, in fragments of its datagram.
    assert here.inside.run(*argv[:4], "dont", *argv[5:]).exit_code == 0


@pytest.mark.parametrize("way", UDP_WAYS)
def test_nodes_with_long_and_with_short_frames_reach_each_other_on_one_network(
    sandbox: Sandbox, way: str
) -> None:
    """Beside its lease each says how long its frames may be; nothing on the way would."""
    configure(sandbox, "udp")
    hosts = [sandbox.host("a"), sandbox.host("b")]
    for device in ("to-a", "to-b", "br0"):
        sandbox.run("ip", "link", "set", device, "mtu", "9000")
    hosts[0].run("ip", "link", "set", "eth0", "mtu", "9000")
    here, there = joined(hosts, way, 1472)
    here.host.run("ip", "link", "set", "docker0", "mtu", "8972")
    sandbox.run("ip", "-n", here.host.name, "link", "set", "to-pod", "mtu", "8972")
    here.inside.run("ip", "link", "set", "eth0", "mtu", "8972")
    here.inside.reaches(there.inside.address, here.inside.address)
    argv = ("ping", "-c1", "-W1", "-s", str(3000 - 28), "-M")

    def whole() -> bool | wait.NotYet:
        ping = here.inside.run(*argv, "dont", there.inside.address, check=False)
        return ping.exit_code == 0 or wait.NotYet(ping.output)

    eventually(whole, "3000 bytes without DF to arrive")
    told = here.inside.run(*argv, "do", "-W10", there.inside.address, check=False)
    assert told.exit_code != 0
    assert "Frag needed and DF set (mtu = 1472)" in told.output
    gets_all(here.inside, there.inside, there.inside.address, 10)
    gets_all(there.inside, here.inside, here.inside.address, 10)


@pytest.mark.thorough
@pytest.mark.parametrize("way", UDP_WAYS)
def test_tcp_flows_over_an_underlay_of_the_longest_frames(sandbox: Sandbox, way: str) -> None:
    """Of 65520 bytes, as InfiniBand's connected mode has (RFC 4755): a single segment is longer than what the
    kernel lets a program lengthen (BPF_SKB_MAX_LEN of net/core/filter.c), so the daemon is to carry it."""
    configure(sandbox, "udp")
    hosts = [sandbox.host("a"), sandbox.host("b")]
    for device in ("to-a", "to-b", "br0"):
        sandbox.run("ip", "link", "set", device, "mtu", "65520")
    for host in hosts:
        host.run("ip", "link", "set", "eth0", "mtu", "65520")
    here, there = joined(hosts, way, 65520 - 28)
    for node in (here, there):
        sandbox.run("ip", "-n", node.host.name, "link", "set", "to-pod", "mtu", str(65520 - 28))
    here.inside.reaches(there.inside.address, here.inside.address)
    for source, sink in ((here, there), (there, here)):
        gets_all(source.inside, sink.inside, sink.inside.address, 16)
        gets_all(source.host, sink.host, f"{sink.host.subnet}.0", 16)
    # Without a checksum of its own, and as long as a datagram can be there.
    for size in (9000, 15_000, 15_350, 15_400, 16_000, 16_040, 16_100, 40_000, 65_492 - 28):
        ping = here.inside.run("ping", "-c2", "-W5", "-M", "do", "-s", str(size), there.inside.address)
        assert "2 received" in ping.text, size
    assert lost(here) == lost(there) == {}


def lost(node: Node) -> dict[str, str]:
    """Packets dropped, by their reason."""
    line = re.compile(r'^flanneld_dropped_packets_total{.*reason="(.*)"} (\d+)', re.MULTILINE)
    return dict(line.findall(node.get("/metrics")))
