"""Whose packets the udp backend takes: those of the node that holds their source, for our own subnet."""

import pytest

from tests.kernel.faults import UDP_WAYS, Node, configure, listening, nodes, start
from tests.kernel.harness import Host, Sandbox

pytestmark = pytest.mark.kernel

SPOOFED = "the sending node does not hold the source's subnet"
NOT_OURS = "the destination is not in our subnet"


def forge(host: Host, at: Node, source: str, destination: str, words: str = "forged") -> None:
    host.run_python("forge_udp", at.host.address, source, destination, words)


def tell(here: Host, there: Host, words: str) -> None:
    here.run_python("say_words", there.address, words)


@pytest.mark.parametrize("way", UDP_WAYS)
def test_a_packet_from_elsewhere_than_its_node_never_arrives_and_is_counted(
    sandbox: Sandbox, way: str
) -> None:
    configure(sandbox, "udp")
    here, there = nodes(sandbox, 2, *UDP_WAYS[way])
    heard = listening(here)
    stranger = sandbox.host("x")
    forge(stranger, here, there.inside.address, here.inside.address)
    here.has_dropped(SPOOFED, 1)
    forge(stranger, here, here.inside.address, here.inside.address)  # as if from ourselves
    forge(stranger, here, "8.8.8.8", here.inside.address)
    here.has_dropped(SPOOFED, 3)
    there.daemon.signal("KILL")
    there.daemon.ends(5)
    forge(there.host, here, here.inside.address, here.inside.address)  # a node, in another's name
    here.has_dropped(SPOOFED, 4)
    forge(there.host, here, there.inside.address, "192.168.50.1")  # into the underlay
    here.has_dropped(NOT_OURS, 1)
    forge(there.host, here, there.inside.address, here.inside.address, "genuine")
    heard.says(f"{there.inside.address} genuine")
    assert "forged" not in heard.log


@pytest.mark.parametrize("way", UDP_WAYS)
def test_behind_a_nat_nodes_are_heard_only_without_the_check(sandbox: Sandbox, way: str) -> None:
    configure(sandbox, "udp")
    # The fast path would pass by the sender's own filters.
    there = Node(sandbox.host("a"), start(sandbox.hosts[0], *UDP_WAYS["plain"]))
    here = Node(sandbox.host("b"), start(sandbox.hosts[1], *UDP_WAYS[way]))
    for node in (here, there):
        node.daemon.says("Subnet added: ")
        node.pod = node.host.pod()
    # What leaves this node has the address of another from now on.
    there.host.run("ip", "address", "add", "192.168.50.77/24", "dev", "eth0")
    rules = "add table ip nat77; add chain ip nat77 out { type nat hook postrouting priority 100; }; "
    there.host.run("nft", rules + "add rule ip nat77 out udp dport 8285 snat to 192.168.50.77:7777")
    heard = listening(here)
    tell(there.inside, here.inside, "checked")
    here.has_dropped(SPOOFED, 1)
    here.daemon.signal("TERM")
    here.daemon.ends(5)
    here.daemon = start(here.host, "-udp-source-check=off", *UDP_WAYS[way])
    here.daemon.says("Subnet added: ")
    tell(there.inside, here.inside, "unchecked")
    heard.says(f"{there.inside.address} unchecked")
    assert " checked" not in heard.log
