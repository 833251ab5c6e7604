"""The external interface changes while daemons run: it is followed, or waited for."""

import json

import pytest

from flanneld_py.errors import Exit
from lab import wait
from tests.kernel.faults import UDP_WAYS, Node, configure, nodes, reach, ready
from tests.kernel.flow import Flow
from tests.kernel.harness import Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

KINDS = [*UDP_WAYS, "vxlan", "host-gw", "wireguard", "ipip"]

OVERHEAD = {"vxlan": 50, "host-gw": 0, "wireguard": 80, "ipip": 20}
"""Bytes (RFC 7348, WireGuard's whitepaper, RFC 2003); of udp 28: an IPv4 header and a UDP header."""

DEVICES = {"vxlan": "flannel.1", "host-gw": "eth0", "wireguard": "flannel-wg", "ipip": "flannel.ipip"}
"""Of udp flannel0."""


def pair(sandbox: Sandbox, kind: str, *options: str) -> tuple[Node, Node]:
    configure(sandbox, "udp" if kind in UDP_WAYS else kind)
    here, there = nodes(sandbox, 2, *UDP_WAYS.get(kind, ()), *options)
    reach(here, there)
    return here, there


def says_env(host: Host, text: str) -> None:
    def probe() -> bool | wait.NotYet:
        return text in host.subnet_env or wait.NotYet(host.subnet_env)

    eventually(probe, f"subnet.env to say {text!r}", 20)


def public_ips(sandbox: Sandbox) -> dict[str, str]:
    return {key: json.loads(value)["PublicIP"] for key, value in sandbox.leases().items()}


def announces(sandbox: Sandbox, wanted: dict[str, str]) -> None:
    def probe() -> bool | wait.NotYet:
        found = public_ips(sandbox)
        return found == wanted or wait.NotYet(found)

    eventually(probe, f"the leases to name {wanted}", 20)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_an_mtu_that_is_lowered_on_both_machines_stops_no_connection(sandbox, kind):
    here, there = pair(sandbox, kind)
    leases = sandbox.leases()
    address = f"{there.host.subnet}.1"  # of the machine itself
    there.host.start("feed_endlessly", address).says("listening")
    client = here.host.start("drain", address)
    client.says("received")
    for node in (here, there):
        node.host.run("ip", "link", "set", "eth0", "mtu", "1400")
    inner = 1400 - OVERHEAD.get(kind, 28)
    for node in (here, there):
        says_env(node.host, f"FLANNEL_MTU={inner}\n")
    known = client.log.count("received")
    client.says("received", times=known + 3, timeout=60)
    link = here.host.link(DEVICES.get(kind, "flannel0"))
    assert link is not None
    assert link["mtu"] == inner
    reach(here, there)
    ready(here, there)
    changed = {key: value for key, value in sandbox.leases().items() if leases.get(key) != value}
    assert changed == {}
    assert f"FLANNEL_MTU changed from {1500 - 1400 + inner} to {inner}" in here.daemon.log


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_is_replaced_is_announced_and_the_subnet_stays(sandbox, kind):
    here, there = pair(sandbox, kind)
    before, env = public_ips(sandbox), here.host.subnet_env
    flow = Flow.begin(here.inside, there.inside.address)
    script = """
        ip address add 192.168.50.77/24 dev eth0
        ip address delete $0/24 dev eth0
        ip address show dev eth0 | grep -q 192.168.50.77 || ip address add 192.168.50.77/24 dev eth0
    """
    here.host.run("sh", "-ec", script, here.host.address)
    announces(sandbox, {**before, f"{here.host.subnet}.0-24": "192.168.50.77"})
    flow.goes_on(timeout=20)
    reach(here, there)
    ready(here, there)
    assert here.host.subnet_env == env
    assert "lost: " not in here.daemon.log
    here.daemon.says("eth0 has the address 192.168.50.77 instead of 192.168.50.11: following")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["plain", "vxlan", "host-gw"])
def test_where_the_address_is_lost_for_good_another_of_the_interface_is_taken(sandbox, kind):
    configure(sandbox, "udp" if kind in UDP_WAYS else kind)
    host = sandbox.host("a")
    host.run("ip", "address", "add", "192.168.50.111/24", "dev", "eth0")
    host.run("sysctl", "-qw", "net.ipv4.conf.eth0.promote_secondaries=1")
    daemon = host.flanneld(*UDP_WAYS.get(kind, ()))
    daemon.says("Watching for new subnet leases")
    subnet = host.subnet
    host.run("ip", "address", "delete", f"{host.address}/24", "dev", "eth0")
    announces(sandbox, {f"{subnet}.0-24": "192.168.50.111"})
    assert "lost: " not in daemon.log


@pytest.mark.parametrize("kind", ["fast path", "vxlan"])
def test_an_interface_that_is_renamed_is_followed(sandbox, kind):
    here, there = pair(sandbox, kind)
    leases = sandbox.leases()
    script = "ip link set eth0 down; ip link set eth0 name lan0; ip link set lan0 up"
    here.host.run("sh", "-ec", script)
    here.daemon.says("eth0 was renamed to lan0: following")
    here.daemon.says("-iface=eth0 will match no interface at the next start")
    reach(here, there)
    ready(here, there)
    assert sandbox.leases() == leases


def replug(host: Host, sandbox: Sandbox) -> None:
    """The machine's interface once more, with the same address and another index."""
    script = f"""
        ip link add name to-{host.name} type veth peer name eth0 netns {host.name}
        ip link set to-{host.name} master br0 up
        ip -n {host.name} link set eth0 up
        ip -n {host.name} address add {host.address}/24 dev eth0
    """
    sandbox.run("sh", "-ec", script)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interface_that_is_deleted_is_waited_for_and_followed_when_it_is_made_again(sandbox, kind):
    here, there = pair(sandbox, kind)
    leases = sandbox.leases()
    here.host.run("ip", "link", "delete", "eth0")
    here.says_ready("503", "waiting for an interface: the interface eth0 is gone", timeout=20)
    replug(here.host, sandbox)
    reach(here, there)
    ready(here, there, timeout=20)
    assert sandbox.leases() == leases
    assert "lost: " not in here.daemon.log


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["plain", "vxlan"])
def test_an_interface_that_is_deleted_for_good_ends_the_daemon_with_the_reason(sandbox, kind):
    here, _ = pair(sandbox, kind, "-iface-wait=3")
    here.host.run("ip", "link", "delete", "eth0")
    assert here.daemon.ends(30) == Exit.INTERFACE
    last = here.daemon.log.splitlines()[-1]
    assert "the interface eth0 is gone" in last
    assert "(waited 3 s, -iface-wait)" in last
    replug(here.host, sandbox)  # for the sandbox to take away


@pytest.mark.thorough
def test_without_an_interface_a_daemon_ends_at_once_when_told_to(sandbox):
    here, _ = pair(sandbox, "vxlan")
    here.host.run("ip", "link", "delete", "eth0")
    here.says_ready("503", "waiting for an interface", timeout=20)
    here.daemon.signal("TERM")
    assert here.daemon.ends(10) == 0
    replug(here.host, sandbox)
