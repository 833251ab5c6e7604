"""What a machine's containers may send: packets with the addresses of pods, and of nobody else."""

import pytest

from lab import wait
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes, start
from tests.kernel.harness import Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

FORGED = "sent by a container with an address that is no pod's here"
TABLE = "flannel-pods.10.2.0.0-16"
RULE = 'iif "docker0" oif != "docker0" fib saddr . iif oif missing'
PORT = "9999"
ELSEWHERE = "198.51.100.7"
"""RFC 5737: of nobody."""

WAYS = {
    "udp, fast path": ("udp", UDP_WAYS["fast path"]),
    "udp, plain": ("udp", UDP_WAYS["plain"]),
    "vxlan": ("vxlan", ()),
    "host-gw": ("host-gw", ()),
}

COUNT = """
add table ip seen
add chain ip seen in { type filter hook prerouting priority -400 ; }
add rule ip seen in udp dport 9999 counter
"""


def unfiltered(*hosts: Host) -> None:
    """The kernel's own reverse-path check is off, as Docker's machines mostly have it."""
    for host in hosts:
        for name in ("all", "docker0"):
            host.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0")


def checked(node: Node) -> None:
    def is_made() -> bool | wait.NotYet:
        shown = node.host.run("nft", "list", "table", "inet", TABLE, check=False).output
        return RULE in shown or wait.NotYet(shown)

    eventually(is_made, "the pods' bridge to be noticed")


def arrives(node: Node, number: int) -> None:
    def probe() -> bool | wait.NotYet:
        shown = node.inside.run("nft", "list", "table", "ip", "seen").text
        return f"packets {number} " in shown or wait.NotYet(shown)

    eventually(probe, f"packet {number} to arrive, and no other")


def send(here: Node, there: Node, source: str) -> None:
    here.inside.run_python("forge_outer", source, there.inside.address, PORT)


@pytest.mark.parametrize("way", WAYS)
def test_a_container_sends_as_no_other_machines_pod_and_as_nobody_from_elsewhere(sandbox: Sandbox, way: str):
    kind, options = WAYS[way]
    configure(sandbox, kind)
    # The bridge is noticed when it comes, not when all rules are looked at again.
    here, there, third = nodes(sandbox, 3, *options, "-iptables-resync=3600")
    unfiltered(here.host, there.host)
    checked(here)
    there.inside.run("nft", COUNT)
    send(here, there, third.inside.address)
    send(here, there, ELSEWHERE)
    here.has_dropped(FORGED, 2)
    # To somebody outside the overlay no more than to a pod.
    here.inside.run_python("forge_outer", third.host.address, there.host.address, PORT)
    here.has_dropped(FORGED, 3)
    send(here, there, here.inside.address)
    arrives(there, 1)
    assert here.dropped(FORGED) == 3


def test_a_container_that_is_a_router_sends_what_the_machine_has_a_route_back_to(sandbox: Sandbox):
    configure(sandbox, "vxlan")
    here, there = nodes(sandbox)
    unfiltered(here.host, there.host)
    here.host.ip(f"route add 198.51.100.0/24 via {here.inside.address} dev docker0")
    checked(here)
    there.inside.run("nft", COUNT)
    send(here, there, ELSEWHERE)
    arrives(there, 1)
    assert here.dropped(FORGED) == 0


@pytest.mark.thorough
def test_a_bridge_that_is_made_anew_is_followed_and_the_table_is_kept_until_cleanup(
    sandbox: Sandbox,
):
    configure(sandbox, "host-gw")
    here, there = nodes(sandbox)
    unfiltered(here.host, there.host)
    checked(here)
    for harm in (f"delete table inet {TABLE}", f"flush chain inet {TABLE} forward"):
        here.host.run("nft", harm)
        checked(here)
    here.host.ip("link add spare type bridge", "link delete docker0")
    here.host.bridge()
    here.host.ip("link set to-pod master docker0 up")
    unfiltered(here.host)
    checked(here)  # nft shows the index of a bridge that is gone as a number
    send(here, there, ELSEWHERE)
    here.has_dropped(FORGED, 1)
    here.daemon.signal("TERM")
    here.daemon.ends(10)
    checked(here)
    assert f"nft inet {TABLE}" in here.host.run("/usr/bin/flanneld", "cleanup").text
    assert "flannel" not in here.host.run("nft", "list", "tables").text


def test_turned_off_it_leaves_no_table(sandbox: Sandbox):
    configure(sandbox, "host-gw")
    here, there = nodes(sandbox)
    unfiltered(here.host, there.host)
    checked(here)
    here.daemon.signal("TERM")
    here.daemon.ends(10)
    here.daemon = start(here.host, "-pod-source-check=off")
    here.daemon.says("Subnet added: ")
    assert "flannel-pods" not in here.host.run("nft", "list", "tables").text
    there.inside.run("nft", COUNT)
    send(here, there, ELSEWHERE)
    arrives(there, 1)
