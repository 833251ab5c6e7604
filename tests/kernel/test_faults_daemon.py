"""Daemons that are killed, paused, restarted, replaced, too many, or all started at once, under load."""

import math
import re
from datetime import datetime

import pytest

from lab import wait
from tests.kernel.faults import EXPIRED, KINDS, Node, configure, full, nodes, ready, start
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host, Process, eventually

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_the_udp_backend_is_back_with_the_next_daemon(sandbox, signal):
    configure(sandbox, "udp")
    here, there = nodes(sandbox)
    flow = Flow.begin(here.inside, there.inside.address, interval=0.005)
    here.restart(signal)
    # While there is no daemon nobody carries packets; for how long, `lab bench` measures.
    flow.end()


@pytest.mark.parametrize("kind", ["vxlan", "host-gw"])
@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_what_the_kernel_carries_goes_on_while_daemons_restart(sandbox, kind, signal):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    flow = Flow.begin(here.inside, there.inside.address, interval=0.005)
    for node in (here, there):
        node.restart(signal)
        node.daemon.says("Subnet added: ")
    assert flow.end().lost == ()


@pytest.mark.parametrize("kind", KINDS)
def test_a_subnet_that_moves_to_another_machine_is_reached_there_within_two_seconds(sandbox, kind):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    moved = there.host.subnet
    flow = Flow.begin(here.inside, there.inside.address)
    # The machine goes for good; another one, with its disk, has its subnet.env and a new address.
    there.daemon.signal("KILL")
    there.daemon.ends(5)
    heir = sandbox.host("c")
    sandbox.run("mkdir", "-p", heir.subnet_file.rpartition("/")[0])
    sandbox.run("cp", there.host.subnet_file, heir.subnet_file)
    there.host.run("ip", "link", "set", "eth0", "down")
    flow.stands_still()
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{moved}.0-24")
    here.daemon.says(f"Subnet removed: {moved}.0/24", timeout=2)
    daemon = start(heir)
    daemon.says(f"Subnet lease acquired: {moved}.0/24")
    heir.pod()
    flow.goes_on(timeout=2)


@pytest.mark.thorough
def test_the_last_of_too_many_waits_and_the_others_are_untouched(sandbox):
    configure(sandbox, "vxlan", Network="10.2.0.0/22", SubnetLen=24)  # three, as flannel leaves the first out
    here, there, third = nodes(sandbox, 3)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    host = sandbox.host("d")
    last = Node(host, start(host))
    last.daemon.says("Failed to acquire subnet: out of subnets")
    last.says_ready("503", "out of subnets")
    ready(here, there, third)
    assert sandbox.leases() == leases
    free = third.host.subnet
    third.daemon.signal("KILL")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{free}.0-24")
    last.daemon.says(f"Subnet lease acquired: {free}.0/24")
    ready(here, there, last)
    assert flow.end().lost == ()


@pytest.mark.thorough
def test_ten_daemons_that_start_at_once_hold_ten_subnets(sandbox):
    configure(sandbox, "udp", Network="10.2.0.0/20", SubnetLen=24)  # 15 subnets: many will want the same
    hosts = [sandbox.host(name) for name in "abcdefghij"]
    daemons = [start(host) for host in hosts]
    for daemon in daemons:
        daemon.says("Subnet lease acquired", timeout=60)
    assert len(sandbox.leases()) == len({host.subnet for host in hosts}) == 10
    for daemon in daemons:
        daemon.says("Subnet added: ", times=9, timeout=60)


@pytest.mark.thorough
def test_of_two_machines_one_alone_acts_on_a_subnet_that_changes_hands(sandbox):
    """A stranger writes another's name over a key, back and forth.

    The loser hears of it when the winner may: for that moment, and no longer, both may act on the subnet.
    """
    configure(sandbox, "vxlan", Network="10.2.0.0/22", SubnetLen=24)
    here, there, third = nodes(sandbox, 3, pods=False)
    key, route = f"{PREFIX}/subnets/{here.host.subnet}.0-24", f"{there.host.subnet}.0/24"
    values = {host.address: sandbox.leases()[f"{host.subnet}.0-24"] for host in (here.host, third.host)}
    # The third loses its own to somebody who is not there, so that it can have ours only.
    own = f"{PREFIX}/subnets/{third.host.subnet}.0-24"
    sandbox.etcdctl("put", own, '{"PublicIP":"192.168.50.99"}')
    third.daemon.says("Failed to acquire subnet: out of subnets")
    monitors = [monitor(node.host) for node in (here, third)]
    for node in (third, here, third, here):
        before = node.daemon.log.count("Subnet lease acquired")
        sandbox.etcdctl("put", key, values[node.host.address])
        node.daemon.says("Subnet lease acquired", times=before + 1)

        def probe(node: Node = node) -> bool | wait.NotYet:
            shown = node.host.run("ip", "route", "show", route).text
            return bool(shown) or wait.NotYet("none")

        eventually(probe, f"{node.host.name}'s route to {route}")

    def told() -> list[list[tuple[float, float]]] | wait.NotYet:
        found = [acted(monitor.log, route) for monitor in monitors]
        return found if [len(times) for times in found] == [3, 2] else wait.NotYet(found)

    ours, theirs = eventually(told, "our machine to have acted three times and the third twice")
    for begun_at, ended_at in ours:
        for begun, ended in theirs:
            assert min(ended, ended_at) - max(begun, begun_at) < 1


def monitor(host: Host) -> Process:
    """`ip -ts monitor route`, which tells of all routes from now on."""
    monitor = host.spawn("ip", "-ts", "monitor", "route")

    def probe() -> bool | wait.NotYet:
        for what in ("add", "delete"):  # the kernel tells of changes only
            host.run("ip", "route", what, "blackhole", "198.18.0.0/24")
        return "198.18.0.0/24" in monitor.log or wait.NotYet("nothing")

    eventually(probe, "ip monitor to listen")
    return monitor


def acted(log: str, route: str) -> list[tuple[float, float]]:
    """From when to when a machine had the route, by what `ip -ts monitor` told; at first it had it."""
    found, begun_at = [], -math.inf
    for at, deleted in re.findall(rf"^\[(\S+)\] (Deleted )?{re.escape(route)} ", log, re.MULTILINE):
        moment = datetime.fromisoformat(at).timestamp()
        if deleted:
            found.append((begun_at, moment))
        begun_at = math.inf if deleted else moment
    return found if begun_at == math.inf else [*found, (begun_at, math.inf)]


@pytest.mark.thorough
def test_a_daemon_that_was_paused_past_its_lease_checks_before_it_forwards(sandbox):
    here, there, heir = full(sandbox, "udp")
    ready(here, there)
    lost = here.host.subnet
    sniffer = sandbox.start("sniff_overlay", "to-a")
    sniffer.says("listening")
    flow = Flow.begin(here.inside, there.inside.address)
    sniffer.says(here.inside.address)
    here.daemon.signal("STOP")
    flow.stands_still()
    there.daemon.says(f"Subnet removed: {lost}.0/24", timeout=EXPIRED)
    heir.says(f"Subnet lease acquired: {lost}.0/24", timeout=EXPIRED)
    # Hundreds of packets of our pod wait in the device now.
    before = sniffer.log
    here.daemon.signal("CONT")
    here.daemon.says(f"Lease of {lost}.0/24 lost: ", timeout=2)
    here.says_ready("503")
    here.daemon.says("Failed to acquire subnet: out of subnets")
    assert here.inside.address not in sniffer.log.removeprefix(before)


@pytest.mark.thorough
def test_a_daemon_that_was_paused_past_its_lease_withdraws_its_routes_at_once(sandbox):
    here, there, heir = full(sandbox, "vxlan")
    lost = here.host.subnet
    here.daemon.signal("STOP")
    there.daemon.says(f"Subnet removed: {lost}.0/24", timeout=EXPIRED)
    heir.says(f"Subnet lease acquired: {lost}.0/24", timeout=EXPIRED)
    assert routes(here)
    here.daemon.signal("CONT")

    def probe() -> bool | wait.NotYet:
        return not routes(here) or wait.NotYet(routes(here))

    eventually(probe, "no routes", timeout=2)
    here.daemon.says("Failed to acquire subnet: out of subnets")


def routes(node: Node) -> list[str]:
    """Those with our mark."""
    return node.host.run("ip", "route", "show", "proto", "241").text.splitlines()
