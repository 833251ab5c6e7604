"""Faults of etcd, of what is in it, and of the time that leases live."""

import re
from collections.abc import Sequence

import pytest

from lab import wait
from tests.kernel.faults import KINDS, Node, configure, nodes, ready, start
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

TTL = 6
"""Seconds that a lease lives in some tests here; it is renewed after 3, as the daemon looks every 2."""

# Prints time, source and destination of each packet of the overlay that a machine sends by the udp backend.
SNIFF = """
import socket, sys, time
ETH_P_ALL = 3  # linux/if_ether.h
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
sniffer.bind((sys.argv[1], ETH_P_ALL))
print("listening", flush=True)
while True:
    frame = sniffer.recv(65536)
    if frame[12:14] == b"\\x08\\x00" and frame[23] == 17 and frame[36:38] == (8285).to_bytes(2):
        inner = frame[42:]
        print(time.time(), *map(socket.inet_ntoa, (inner[12:16], inner[16:20])), flush=True)
"""


@pytest.mark.parametrize(
    ("kind", "signal"), [("udp", "TERM"), ("udp", "STOP"), ("vxlan", "TERM"), ("host-gw", "STOP")]
)
def test_while_etcd_is_away_no_packet_is_lost_and_readyz_says_degraded(sandbox, kind, signal):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    ready(here, there)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    etcd = sandbox.etcd_process
    etcd.signal(signal)
    for node in (here, there):
        node.says_ready("200", "degraded: Watch subnets: etcd does not answer", timeout=15)
    # After some 5 s of attempts the next ones are as far apart as they ever will be.
    flow.lasts(12)
    if signal == "STOP":
        etcd.signal("CONT")
    else:
        etcd.ends(5)
        sandbox.start_etcd()
    ready(here, there, timeout=5)
    losses = flow.end()
    assert losses.lost == ()
    assert sandbox.leases() == leases
    assert "lost: " not in here.daemon.log + there.daemon.log


@pytest.mark.parametrize("kind", KINDS)
def test_an_etcd_that_was_wiped_gives_everybody_the_same_subnet_again(sandbox, kind):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    sandbox.etcdctl("del", "--prefix", f"{PREFIX}/")
    configure(sandbox, kind)
    for node in (here, there):
        node.daemon.says("Subnet lease acquired", times=2, timeout=5)
    losses = flow.end()
    assert losses.gap < 5
    assert sandbox.leases() == leases
    ready(here, there)


def full(sandbox: Sandbox, kind: str, skews: Sequence[int] = ()) -> tuple[Node, Node, Process]:
    """Two machines that know each other, a third daemon that gets no subnet, and short leases."""
    configure(sandbox, kind, Network="10.2.0.0/22", SubnetLen=24)  # flannel leaves the first subnet out
    here, there = nodes(sandbox, ttl=TTL, skews=skews)
    (third,) = {"10.2.1", "10.2.2", "10.2.3"} - {here.host.subnet, there.host.subnet}
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{third}.0-24", '{"PublicIP":"192.168.50.99"}')
    heir = start(sandbox.host("c"), ttl=TTL)
    heir.says("Failed to acquire subnet: out of subnets")
    return here, there, heir


def test_a_daemon_that_was_paused_past_its_lease_checks_before_it_forwards(sandbox):
    here, there, heir = full(sandbox, "udp")
    ready(here, there)
    lost = here.host.subnet
    sniffer = sandbox.spawn("python3", "-c", SNIFF, "to-a")
    sniffer.says("listening")
    flow = Flow.begin(here.inside, there.inside.address)
    sniffer.says(here.inside.address)
    here.daemon.signal("STOP")
    flow.stands_still()
    there.daemon.says(f"Subnet removed: {lost}.0/24", timeout=TTL + 5)
    heir.says(f"Subnet lease acquired: {lost}.0/24")
    # Hundreds of packets of our pod wait in the device now.
    before = sniffer.log
    here.daemon.signal("CONT")
    here.daemon.says(f"Lease of {lost}.0/24 lost: ", timeout=2)
    here.says_ready("503")
    here.daemon.says("Failed to acquire subnet: out of subnets")
    assert here.inside.address not in sniffer.log.removeprefix(before)


@pytest.mark.parametrize("kind", ["vxlan", "host-gw"])
def test_a_daemon_that_was_paused_past_its_lease_withdraws_its_routes_at_once(sandbox, kind):
    here, there, heir = full(sandbox, kind)
    lost = here.host.subnet
    here.daemon.signal("STOP")
    there.daemon.says(f"Subnet removed: {lost}.0/24", timeout=TTL + 5)
    heir.says(f"Subnet lease acquired: {lost}.0/24")
    assert routes(here)
    here.daemon.signal("CONT")

    def probe() -> bool | wait.NotYet:
        return not routes(here) or wait.NotYet(routes(here))

    eventually(probe, "no routes", timeout=2)
    here.daemon.says("Failed to acquire subnet: out of subnets")


def routes(node: Node) -> list[str]:
    """Those with our mark."""
    return node.host.run("ip", "route", "show", "proto", "241").text.splitlines()


@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_is_hours_off_neither_ends_a_lease_early_nor_gives_it_to_two(sandbox, kind):
    here, there, heir = full(sandbox, kind, skews=(7200, -7200))
    flow = Flow.begin(here.inside, there.inside.address)
    flow.lasts(TTL * 2)
    losses = flow.end()
    assert losses.lost == ()
    for node in (here, there):
        node.daemon.says("Lease renewed: ", times=3)
        assert "lost: " not in node.daemon.log
    assert "Subnet lease acquired" not in heir.log
    assert hours(here.daemon.log, heir.log) == 2
    assert hours(heir.log, there.daemon.log) == 2


def hours(later: str, earlier: str) -> int:
    """Hours from one log's beginning to another's, by the times of day that they tell."""
    first, second = (int(re.findall(r" (\d\d):\d\d:\d\d", log)[0]) for log in (later, earlier))
    return (first - second) % 24
