"""The fast path's inlet: what comes in by it, what does not, and that nothing is left of it (ADR 9)."""

import json

import pytest

from lab import wait
from tests.kernel.counters import echoes, wrong_checksums
from tests.kernel.fast_path import FAST, NEEDED, attached, gets_all, pair
from tests.kernel.faults import Node, configure, start
from tests.kernel.frames import echo_request
from tests.kernel.harness import Host, eventually

pytestmark = NEEDED

INLET = "flannel0-in"


def came_in(host: Host, device: str = INLET) -> int:
    """Packets that this device has received."""
    return int(host.sysfs(f"class/net/{device}/statistics/rx_packets"))


CUT = 12_000
"""Packets of 1432 bytes that 16 MiB are cut into."""


def test_tcp_between_pods_comes_in_by_it_in_one_piece(sandbox):
    here, there = pair(sandbox)
    here.inside.reaches(there.inside.address, here.inside.address)
    gets_all(here.inside, there.inside, there.inside.address, 16)
    assert 0 < came_in(there.host) < CUT / 2
    assert wrong_checksums(here.host, there.host, here.inside, there.inside) == []


@pytest.mark.parametrize("last", [0, 1], ids=["of flannel0", "of docker0"])
def test_a_connection_to_an_address_of_the_machine_itself_does_not_come_in_by_it(sandbox, last):
    """But for its first packets: until it is made, no socket has it."""
    here, there = pair(sandbox)
    here.inside.reaches(there.inside.address, here.inside.address)
    gets_all(here.host, there.host, f"{there.host.subnet}.{last}", 16)
    assert came_in(there.host) < 10
    assert wrong_checksums(here.host, there.host) == []


def test_a_port_of_the_machine_that_is_published_by_a_pod_comes_in_by_it_in_one_piece(sandbox):
    """Docker's -p: DNAT to the pod, while something of Docker's own listens on the machine's port as well."""
    here, there = pair(sandbox)
    here.inside.reaches(there.inside.address, here.inside.address)
    pod, published = there.inside.address, f"{there.host.subnet}.0"
    there.host.run("iptables", "-t", "nat", "-A", "PREROUTING", "-d", published, "-j", "DNAT", "--to", pod)
    for at, address in ((there.host, "0.0.0.0"), (there.inside, pod)):
        taker = at.start("take_hashed", address)
        taker.says("listening")
    taker.says(here.inside.run_python("send_hashed", published, "16").text.strip())
    assert 0 < came_in(there.host) < CUT / 2
    assert wrong_checksums(here.host, there.host, here.inside, there.inside) == []


def test_what_a_network_sends_to_its_port_goes_nowhere(sandbox):
    """The same packet in a datagram of flannel's, for comparison, is taken."""
    here, there = pair(sandbox)
    packet = echo_request(f"{there.host.subnet}.0", f"{here.host.subnet}.0")
    before = echoes(here.host)
    there.host.run_python("send_datagram", here.host.address, "8285", packet.hex())

    def taken() -> bool | wait.NotYet:
        return echoes(here.host) == before + 1 or wait.NotYet(str(echoes(here.host)))

    eventually(taken, "an echo request to arrive by the overlay")
    (link,) = json.loads(here.host.run("ip", "-json", "-details", "link", "show", "dev", INLET).text)
    gpe = bytes([0x0C, 0, 0, 1, 0, 0, 0, 0])  # draft-ietf-nvo3-vxlan-gpe: flags P and I, next protocol IPv4
    port = str(link["linkinfo"]["info_data"]["port"])
    there.host.run_python("send_datagram", here.host.address, port, (gpe + packet).hex())

    def seen() -> bool | wait.NotYet:
        return came_in(here.host) == 1 or wait.NotYet(str(came_in(here.host)))

    eventually(seen, f"a packet to come to {INLET}")
    here.has_dropped("sent to the inlet's port from a network")
    assert echoes(here.host) == before + 1


def test_a_firewall_sees_the_port_that_packets_were_sent_to(sandbox):
    here, there = pair(sandbox)
    for node in (here, there):
        rules = "add table inet only; add chain inet only in { type filter hook input priority 0; }; "
        node.host.run("nft", rules + "add rule inet only in udp dport != 8285 drop")
    gets_all(here.inside, there.inside, there.inside.address, 16)
    assert came_in(there.host) > 0


def test_it_ends_with_the_daemon_however_that_ends_and_the_next_one_has_its_own(sandbox):
    here, there = pair(sandbox)
    for signal in ("KILL", "TERM"):
        assert attached(here.host, INLET) == [1, 0]
        here.daemon.signal(signal)
        here.daemon.ends(5)
        assert INLET not in here.host.links()
        here.daemon = start(here.host, *FAST)
        here.daemon.says("Packets are carried by the fast path")
    here.inside.reaches(there.inside.address, here.inside.address)


def test_where_it_cannot_be_made_tcp_is_carried_all_the_same(sandbox):
    configure(sandbox, "udp")
    hosts = sandbox.host("a"), sandbox.host("b")
    for host in hosts:
        host.run("ip", "link", "add", INLET, "type", "bridge")
    here, there = (Node(host, start(host, *FAST)) for host in hosts)
    for node in (here, there):
        node.daemon.says("Subnet added: ")
        node.pod = node.host.pod()
        node.inside.run("ip", "link", "set", "eth0", "mtu", "1472")
    here.daemon.says(f"TCP to containers is carried in small packets: making {INLET}: File exists")
    gets_all(here.inside, there.inside, there.inside.address, 16)
    gets_all(there.inside, here.inside, here.inside.address, 16)
    here.daemon.signal("TERM")
    here.daemon.ends(5)
    assert INLET in here.host.links()
