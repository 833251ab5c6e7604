"""host-gw with real daemons: routes by the machines' own addresses, and nothing else."""

import json

import pytest

from flanneld_py.errors import Exit
from lab import wait
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

HOST_GW = json.dumps({"Network": "10.2.0.0/16", "SubnetMax": "10.2.199.0", "Backend": {"Type": "host-gw"}})
"""Daemons pick subnets up to 10.2.199.0/24; those above are for leases that a test writes."""


def routes(host: Host, *words: str) -> list[str]:
    text = host.run("ip", *words, "route", "show").text
    return [" ".join(line.split()) for line in text.splitlines()]


def gets(host: Host, route: str, timeout: float = 20) -> None:
    """Wait until the machine has exactly this route to its destination."""
    destination = route.split()[0]
    words = ["-6"] if ":" in destination else []

    def probe() -> bool | wait.NotYet:
        found = [line for line in routes(host, *words) if line.split()[0] == destination]
        return found == [route] or wait.NotYet(found)

    eventually(probe, f"the route {route!r} on {host.name}", timeout)


def lacks(host: Host, destination: str, timeout: float = 20) -> None:
    def probe() -> bool | wait.NotYet:
        found = [line for line in routes(host) if line.split()[0] == destination]
        return not found or wait.NotYet(found)

    eventually(probe, f"no route to {destination} on {host.name}", timeout)


def lease(number: int, kind: str = "host-gw") -> str:
    """The value of a machine that is not there."""
    return f'{{"PublicIP":"192.168.50.{number}","PublicIPv6":null,"BackendType":"{kind}"}}'


@pytest.fixture
def hosts(sandbox: Sandbox) -> tuple[Host, Host]:
    sandbox.configure(HOST_GW)
    made = sandbox.host("a"), sandbox.host("b")
    # That routes go with a link the kernel does not tell.
    for daemon in [host.flanneld(altered={"looks": 1}) for host in made]:
        daemon.says("Subnet added: 10.2.")
    return made


def test_leases_and_subnet_env_are_flannels(hosts, sandbox):
    values = {
        f"{host.subnet}.0-24": f'{{"PublicIP":"{host.address}","PublicIPv6":null,"BackendType":"host-gw"}}'
        for host in hosts
    }
    assert sandbox.leases() == values
    assert "FLANNEL_MTU=1500" in hosts[0].subnet_env


def test_each_machine_routes_the_others_subnet_by_its_address_and_has_no_new_device(hosts):
    here, there = hosts
    for one, other in ((here, there), (there, here)):
        # flannel 0.20.2's, with our mark (its own has none).
        gets(one, f"{other.subnet}.0/24 via {other.address} dev eth0 proto 241")
        assert sorted(one.links()) == ["eth0", "lo"]


def test_pods_reach_each_other(hosts):
    here, there = (host.pod() for host in hosts)
    here.reaches(there.address, here.address)
    there.reaches(here.address, there.address)


def test_a_killed_daemon_that_starts_again_loses_no_packet(hosts, sandbox):
    here, there = (host.pod() for host in hosts)
    here.reaches(there.address, here.address)
    flow = Flow.begin(here, there.address)
    victim = hosts[0].daemon
    victim.signal("KILL")
    victim.ends(5)
    hosts[0].flanneld().says("Watching for new subnet leases")
    assert flow.end().lost == ()


def test_a_route_of_a_peer_that_vanished_while_we_were_down_is_gone_after_start(hosts, sandbox):
    here, there = hosts
    gone = there.subnet
    daemon = hosts[0].daemon
    daemon.signal("KILL")
    daemon.ends(5)
    hosts[1].daemon.signal("KILL")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{gone}.0-24")
    gets(here, f"{gone}.0/24 via {there.address} dev eth0 proto 241")
    here.flanneld().says("Removed stale entries of former peers")
    lacks(here, f"{gone}.0/24")


def test_a_subnet_that_moves_is_routed_by_the_new_address_within_two_seconds(hosts, sandbox):
    here, _ = hosts
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", lease(97))
    gets(here, "10.2.250.0/24 via 192.168.50.97 dev eth0 proto 241", timeout=2)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", lease(98))
    gets(here, "10.2.250.0/24 via 192.168.50.98 dev eth0 proto 241", timeout=2)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/10.2.250.0-24")
    lacks(here, "10.2.250.0/24", timeout=2)


def test_a_route_that_somebody_deletes_or_changes_comes_back(hosts):
    here, there = hosts
    wanted = f"{there.subnet}.0/24 via {there.address} dev eth0 proto 241"
    here.run("ip", "route", "delete", f"{there.subnet}.0/24")
    gets(here, wanted)
    here.run("ip", "route", "replace", f"{there.subnet}.0/24", "via", "192.168.50.99")
    gets(here, wanted)


def test_a_wrong_next_hop_is_replaced_with_a_warning_and_other_routes_are_not_touched(sandbox):
    sandbox.configure(HOST_GW)
    host = sandbox.host("a")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", lease(97))
    host.run("ip", "route", "add", "10.2.250.0/24", "via", "192.168.50.99")
    host.run("ip", "route", "add", "10.2.251.0/24", "via", "192.168.50.99")
    daemon = host.flanneld()
    daemon.says("Replacing existing route 10.2.250.0/24 via 192.168.50.99 dev eth0")
    gets(host, "10.2.250.0/24 via 192.168.50.97 dev eth0 proto 241")
    gets(host, "10.2.251.0/24 via 192.168.50.99 dev eth0")


def test_a_peer_off_the_link_is_an_error_and_the_others_are_reached(sandbox):
    sandbox.configure(HOST_GW)
    host = sandbox.host("a")
    value = lease(97).replace("192.168.50.", "192.168.77.")
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", value)
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.251.0-24", lease(98))
    daemon = host.flanneld()
    daemon.says("192.168.77.97 is not on the link of eth0 (this machine has no route to it)")
    gets(host, "10.2.251.0/24 via 192.168.50.98 dev eth0 proto 241")


def test_behind_nat_it_is_refused_with_flannels_reason(sandbox):
    sandbox.configure(HOST_GW)
    daemon = sandbox.host("a").flanneld("-public-ip=203.0.113.7")
    assert daemon.ends(10) == Exit.INTERFACE
    assert "your PublicIP differs from interface IP, meaning that probably you're on a NAT" in daemon.log
    assert "Traceback" not in daemon.log


def test_a_lease_of_another_backend_is_ignored(hosts, sandbox):
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", lease(97, "vxlan"))
    hosts[0].daemon.says("Ignoring non-host-gw subnet: type=vxlan")
    lacks(hosts[0], "10.2.250.0/24")


def test_a_link_that_goes_down_and_up_again_has_its_routes_again(hosts):
    here, there = hosts
    here.run("ip", "link", "set", "eth0", "down")
    lacks(here, f"{there.subnet}.0/24")
    here.run("ip", "link", "set", "eth0", "up")
    gets(here, f"{there.subnet}.0/24 via {there.address} dev eth0 proto 241")
