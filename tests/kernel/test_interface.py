"""Which interface the daemon takes, on a machine that has several, or none yet."""

import json

import pytest

from flanneld_py.errors import Exit
from tests.kernel.harness import Host, Process, Sandbox

pytestmark = pytest.mark.kernel


@pytest.fixture
def host(sandbox: Sandbox) -> Host:
    """A Vagrant machine: NAT with the default route on nat0, its neighbours on eth0 (flannel #98)."""
    sandbox.configure()
    made = sandbox.host("a")
    made.run("ip", "link", "add", "nat0", "type", "bridge")
    made.run("ip", "address", "add", "192.0.2.15/24", "dev", "nat0")
    made.run("ip", "link", "set", "nat0", "up")
    made.run("ip", "route", "add", "default", "via", "192.0.2.1")
    return made


def refusal(daemon: Process) -> str:
    """The last line of a daemon that finds no interface."""
    assert daemon.ends(10) == Exit.INTERFACE
    line = daemon.log.splitlines()[-1]
    assert line.startswith("E")
    assert "Traceback" not in daemon.log
    return line


def announced(sandbox: Sandbox) -> list[str]:
    return list(sandbox.leases().values())


def lease_of(address: str) -> list[str]:
    return [f'{{"PublicIP":"{address}","PublicIPv6":null}}']


@pytest.mark.parametrize(
    "options",
    [
        ["-iface=nope0", "-iface=eth0", "-iface=nat0"],
        ["-iface=192.168.50.11"],
        ["-iface-regex=^nope", "-iface-regex=^eth", "-iface-regex=."],
        [r"-iface-regex=192\.168\."],
        ["-iface=nope0", "-iface-regex=eth0"],
        ["-iface-can-reach=192.168.50.1"],
        ["-public-ip=192.168.50.11"],
    ],
    ids=" ".join,
)
def test_the_interface_is_the_one_asked_for(host, sandbox, options):
    daemon = host.flanneld(*options, iface="")
    daemon.says("Using 192.168.50.11 as external interface")
    daemon.says("Subnet lease acquired")
    assert announced(sandbox) == lease_of("192.168.50.11")


def test_without_a_wish_it_is_that_of_the_default_route_and_the_others_are_told(host, sandbox):
    daemon = host.flanneld(iface="")
    daemon.says("Using 192.0.2.15 as external interface")
    daemon.says("eth0 (192.168.50.11")
    daemon.says("nat0 (192.0.2.15")


def test_of_two_default_routes_the_one_with_the_lower_metric_counts(host, sandbox):
    host.run("ip", "route", "replace", "default", "via", "192.0.2.1", "metric", "200")
    host.run("ip", "route", "delete", "default", "metric", "0")
    host.run("ip", "route", "add", "default", "via", "192.168.50.1", "metric", "100")
    host.flanneld(iface="").says("Using 192.168.50.11 as external interface")


def test_a_public_ip_behind_nat_leaves_the_default_routes_interface(host, sandbox):
    daemon = host.flanneld("-public-ip=203.0.113.7", iface="")
    daemon.says("Using 192.0.2.15 as external interface")
    daemon.says("Subnet lease acquired")
    assert announced(sandbox) == lease_of("203.0.113.7")


def test_a_secondary_address_that_is_named_is_announced(host, sandbox):
    host.run("ip", "address", "add", "192.168.50.99/24", "dev", "eth0")
    host.flanneld(iface="192.168.50.99").says("Subnet lease acquired")
    assert announced(sandbox) == lease_of("192.168.50.99")


@pytest.mark.parametrize("kind", ["udp", "host-gw", "vxlan"])
def test_a_public_ip_that_is_a_secondary_address_is_the_one_that_peers_reach(host, sandbox, kind):
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": kind}}))
    host.run("ip", "address", "add", "192.168.50.99/24", "dev", "eth0")
    other = sandbox.host("b")
    for daemon in (host.flanneld("-public-ip=192.168.50.99"), other.flanneld()):
        daemon.says("Subnet added: ")
    for each in (host, other):
        each.bridge()
    # With udp each takes packets from the announced address alone.
    host.reaches(f"{other.subnet}.1", f"{host.subnet}.1")


def test_a_virtual_address_is_not_announced_though_it_is_listed_first(host, sandbox):
    host.run("ip", "address", "flush", "dev", "eth0")
    host.run("ip", "address", "add", "192.168.50.100/32", "dev", "eth0")
    host.run("ip", "address", "add", "192.168.50.11/24", "dev", "eth0")
    host.flanneld().says("Subnet lease acquired")
    assert announced(sandbox) == lease_of("192.168.50.11")


def test_of_two_networks_that_of_the_default_route_counts(host, sandbox):
    host.run("ip", "address", "flush", "dev", "eth0")
    host.run("ip", "address", "add", "198.51.100.11/24", "dev", "eth0")
    host.run("ip", "address", "add", "192.168.50.11/24", "dev", "eth0")
    host.run("ip", "route", "replace", "default", "via", "192.168.50.1")
    host.flanneld().says("Subnet lease acquired")
    assert announced(sandbox) == lease_of("192.168.50.11")


def test_an_interface_that_comes_up_later_is_waited_for(host, sandbox):
    daemon = host.flanneld(iface="late0")
    daemon.says("-iface=late0: there is no interface of this name")
    host.run("ip", "link", "add", "late0", "type", "bridge")
    host.run("ip", "link", "set", "late0", "up")
    host.run("ip", "address", "add", "198.51.100.11/24", "dev", "late0")
    daemon.says("Using 198.51.100.11 as external interface")
    daemon.says("Subnet lease acquired")
    assert daemon.log.count("Waiting up to 60 s for an interface") == 1


def test_an_interface_that_does_not_come_ends_the_daemon_with_the_reason_and_the_candidates(host, sandbox):
    line = refusal(host.flanneld("-iface-wait=1", "-iface-regex=^wlan", iface="nope0"))
    assert "-iface=nope0: there is no interface of this name" in line
    assert "-iface-regex=^wlan: it matches no address and no name" in line
    assert "eth0 (192.168.50.11)" in line
    assert "nat0 (192.0.2.15)" in line
    assert sandbox.leases() == {}


def test_an_interface_without_an_address_is_told_apart_from_none(host, sandbox):
    host.run("ip", "link", "add", "bare0", "type", "bridge")
    host.run("ip", "link", "set", "bare0", "up")
    assert "bare0 has no address that other" in refusal(host.flanneld("-iface-wait=0", iface="bare0"))
    host.run("ip", "link", "set", "eth0", "down")
    assert "eth0 is down" in refusal(host.flanneld("-iface-wait=0", iface="eth0"))


def test_an_address_that_cannot_be_reached_is_told_in_the_kernels_words(host, sandbox):
    host.run("ip", "route", "delete", "default")
    daemon = host.flanneld("-iface-wait=0", "-iface-can-reach=203.0.113.1", iface="")
    assert "-iface-can-reach=203.0.113.1: Network is unreachable" in refusal(daemon)


def test_a_daemon_that_waits_for_its_interface_ends_within_a_second_when_told_to(host, sandbox):
    daemon = host.flanneld(iface="nope0")
    daemon.says("Waiting up to 60 s for an interface")
    daemon.signal("TERM")
    assert daemon.ends() == 0
