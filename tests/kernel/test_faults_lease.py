"""Leases that run out, or that a wrong clock looks at: never do two machines act on one subnet."""

import re
from collections.abc import Sequence

import pytest

from lab import wait
from tests.kernel.faults import Node, configure, cut, nodes, ready, start
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

TTL = 10
"""Seconds that a lease lives here; see ALTERED of faults.py."""

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
    heir.says(f"Subnet lease acquired: {lost}.0/24", timeout=TTL + 5)
    # Hundreds of packets of our pod wait in the device now.
    before = sniffer.log
    here.daemon.signal("CONT")
    here.daemon.says(f"Lease of {lost}.0/24 lost: ", timeout=2)
    here.says_ready("503")
    here.daemon.says("Failed to acquire subnet: out of subnets")
    assert here.inside.address not in sniffer.log.removeprefix(before)


def test_a_daemon_that_was_paused_past_its_lease_withdraws_its_routes_at_once(sandbox):
    here, there, heir = full(sandbox, "vxlan")
    lost = here.host.subnet
    here.daemon.signal("STOP")
    there.daemon.says(f"Subnet removed: {lost}.0/24", timeout=TTL + 5)
    heir.says(f"Subnet lease acquired: {lost}.0/24", timeout=TTL + 5)
    assert routes(here)
    here.daemon.signal("CONT")

    def probe() -> bool | wait.NotYet:
        return not routes(here) or wait.NotYet(routes(here))

    eventually(probe, "no routes", timeout=2)
    here.daemon.says("Failed to acquire subnet: out of subnets")


def routes(node: Node) -> list[str]:
    """Those with our mark."""
    return node.host.run("ip", "route", "show", "proto", "241").text.splitlines()


def test_a_clock_that_is_hours_off_neither_ends_a_lease_early_nor_gives_it_to_two(sandbox):
    here, there, heir = full(sandbox, "udp", skews=(7200, -7200))
    flow = Flow.begin(here.inside, there.inside.address)
    flow.lasts(TTL + 2)
    losses = flow.end()
    assert losses.lost == ()
    for node in (here, there):
        node.daemon.says("Lease renewed: ", times=2)
        assert "lost: " not in node.daemon.log
    assert "Subnet lease acquired" not in heir.log
    assert hours(here.daemon.log, heir.log) == 2
    assert hours(heir.log, there.daemon.log) == 2


def hours(later: str, earlier: str) -> int:
    """Hours from one log's beginning to another's, by the times of day that they tell."""
    first, second = (int(re.findall(r" (\d\d):\d\d:\d\d", log)[0]) for log in (later, earlier))
    return (first - second) % 24


@pytest.mark.parametrize("kind", ["udp", "host-gw"])
def test_a_machine_cut_off_from_etcd_stops_before_another_may_have_its_subnet(sandbox, kind):
    here, there, heir = full(sandbox, kind)
    ready(here, there)
    lost = here.host.subnet
    flow = Flow.begin(here.inside, there.inside.address)
    with cut(here.host, outgoing=["ip daddr 192.168.50.1"]):
        here.says_ready("200", "degraded")
        flow.goes_on()
        here.says_ready("503", timeout=TTL)
        here.daemon.says(f"Lease of {lost}.0/24 lost: it could not be renewed in time")
        heir.says(f"Subnet lease acquired: {lost}.0/24", timeout=TTL + 5)
        assert moment(here.daemon.log, " lost: ") < moment(heir.log, "Subnet lease acquired")
        flow.stands_still()
    here.daemon.says("Failed to acquire subnet: out of subnets")
    heir.signal("KILL")
    heir.ends(5)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{lost}.0-24")
    here.daemon.says(f"Subnet lease acquired: {lost}.0/24", times=2)
    flow.goes_on()
    ready(here, there)


def moment(log: str, words: str) -> str:
    """The time of day of the log's first line with these words."""
    return next(line.split()[1] for line in log.splitlines() if words in line)
