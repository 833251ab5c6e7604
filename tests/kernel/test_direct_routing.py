"""Which peers are on our link, where the prefix of our address covers more than that, or less.

a, 192.168.50.11/16 ---+--- router, 192.168.50.13 --- 192.168.51.1/24 --- c, 192.168.51.12
b, 192.168.50.12    ---+
"""

import json
from dataclasses import replace

import pytest

from lab import wait
from tests.kernel.dual_stack import subnet6, two_machines
from tests.kernel.faults import needs
from tests.kernel.harness import Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

SYSCTLS = (
    "net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0 "
    "net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.forwarding=1"
)
NO_REDIRECTS = "net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0"
DUAL = {"Network": "10.2.0.0/16", "EnableIPv6": True, "IPv6Network": "2001:cafe:42::/56"}


def configure(sandbox: Sandbox, kind: str, **backend: object) -> None:
    sandbox.configure(json.dumps({**DUAL, "Backend": {"Type": kind, **backend}}))


def far(sandbox: Sandbox, near: Host) -> Host:
    """A router, and a machine behind it whose addresses are within the prefix of `near`."""
    router, made = sandbox.host("router"), sandbox.host("c")
    made = replace(made, address="192.168.51.12")
    script = f"""
        for name in {router.name} {made.name}; do
            ip netns exec $name sysctl -qw {SYSCTLS}
        done
        ip netns exec {router.name} sysctl -qw {NO_REDIRECTS}
        ip -n {router.name} address add fd00:50::13/64 dev eth0 nodad
        ip -n {made.name} link set eth0 down
        ip -n {router.name} link add far0 type veth peer name far0 netns {made.name}
        ip -n {router.name} link set far0 up
        ip -n {made.name} link set far0 up
        ip -n {router.name} address add 192.168.51.1/24 dev far0
        ip -n {router.name} address add fd00:51::1/64 dev far0 nodad
        ip -n {made.name} address add {made.address}/24 dev far0
        ip -n {made.name} address add fd00:51::12/64 dev far0 nodad
        ip -n {made.name} route add default via 192.168.51.1
        ip -n {made.name} route add default via fd00:51::1
        ip route add 192.168.51.0/24 via 192.168.50.13
        ip -n {near.name} address delete {near.address}/24 dev eth0
        ip -n {near.name} address add {near.address}/16 dev eth0
        ip -n {near.name} address delete fd00:50::11/64 dev eth0
        ip -n {near.name} address add fd00:50::11/16 dev eth0 nodad
        ip -n {near.name} route add 192.168.51.0/24 via 192.168.50.13
        ip -n {near.name} route add fd00:51::/64 via fd00:50::13
        ip -n b route add 192.168.51.0/24 via 192.168.50.13
        ip -n b route add fd00:51::/64 via fd00:50::13
    """
    sandbox.run("sh", "-ec", script)
    return made


def start(*hosts: Host) -> None:
    daemons = [
        host.flanneld(iface="far0" if host.name == "c" else "eth0", altered={"looks": 1}) for host in hosts
    ]
    for daemon in daemons:
        daemon.says("Subnet added: ", times=len(hosts) - 1)


def leaves_by(host: Host, destination: object, device: str, via: str, timeout: float = 25) -> None:
    """Wait until the route to a subnet is this one."""

    def probe() -> bool | wait.NotYet:
        family = ["-6"] if ":" in str(destination) else []
        (found, *_) = json.loads(
            host.run("ip", "-json", *family, "route", "show", str(destination)).text
        ) or [{}]
        return (found.get("dev"), found.get("gateway")) == (device, via) or wait.NotYet(found)

    eventually(probe, f"the route of {host.name} to {destination} by {via} on {device}", timeout)


def carries_both_families(here: Host, there: Host) -> None:
    for host in (here, there):
        host.run("ip", "address", "replace", f"{host.subnet}.1/32", "dev", "lo")
        host.run("ip", "address", "replace", f"{subnet6(host)[1]}/128", "dev", "lo", "nodad")
    here.reaches(f"{there.subnet}.1", f"{here.subnet}.1")
    here.reaches(str(subnet6(there)[1]), str(subnet6(here)[1]))


def test_a_peer_within_our_prefix_but_behind_a_router_is_encapsulated_and_reached(sandbox):
    configure(sandbox, "vxlan", DirectRouting=True)
    here, near = two_machines(sandbox)
    there = far(sandbox, here)
    start(here, near, there)
    leaves_by(here, f"{near.subnet}.0/24", "eth0", near.address)
    leaves_by(here, subnet6(near), "eth0", "fd00:50::12")
    leaves_by(here, f"{there.subnet}.0/24", "flannel.1", f"{there.subnet}.0")
    leaves_by(here, subnet6(there), "flannel-v6.1", str(subnet6(there)[0]))
    carries_both_families(here, there)
    carries_both_families(here, near)


def test_host_gw_warns_of_a_peer_within_our_prefix_but_behind_a_router(sandbox):
    configure(sandbox, "host-gw")
    here, near = two_machines(sandbox)
    there = far(sandbox, here)
    start(here, near, there)
    daemon = here.daemon
    daemon.says("192.168.51.12 is not on the link of eth0 (its router is 192.168.50.13)")
    daemon.says("fd00:51::12 is not on the link of eth0 (its router is fd00:50::13)")
    carries_both_families(here, near)


def test_a_peer_that_an_on_link_route_leads_to_from_an_address_of_one_machine_is_direct(sandbox):
    configure(sandbox, "vxlan", DirectRouting=True)
    here, there = two_machines(sandbox)
    script = f"""
        ip address delete {here.address}/24 dev eth0
        ip address add {here.address}/32 dev eth0
        ip route add 192.168.50.0/24 dev eth0
        ip address delete fd00:50::11/64 dev eth0
        ip address add fd00:50::11/128 dev eth0 nodad
        ip route add fd00:50::/64 dev eth0
    """
    here.run("sh", "-ec", script)
    start(here, there)
    leaves_by(here, f"{there.subnet}.0/24", "eth0", there.address)
    leaves_by(here, subnet6(there), "eth0", "fd00:50::12")
    carries_both_families(here, there)


@pytest.mark.thorough
def test_routes_that_change_while_we_run_are_followed(sandbox):
    configure(sandbox, "vxlan", DirectRouting=True)
    here, there = two_machines(sandbox)
    router = sandbox.host("router")
    router.run("sh", "-ec", f"sysctl -qw {NO_REDIRECTS}")
    start(here, there)
    subnet = f"{there.subnet}.0/24"
    leaves_by(here, subnet, "eth0", there.address)
    here.run("ip", "route", "add", there.address, "via", router.address)
    leaves_by(here, subnet, "flannel.1", f"{there.subnet}.0")
    carries_both_families(here, there)
    here.run("ip", "route", "delete", there.address)
    leaves_by(here, subnet, "eth0", there.address)
    carries_both_families(here, there)


def test_with_ipip_the_near_peer_is_direct_and_the_far_one_encapsulated(sandbox):
    needs(sandbox, "ipip")
    sandbox.configure(
        json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": "ipip", "DirectRouting": True}})
    )
    here, near = two_machines(sandbox)
    there = far(sandbox, here)
    start(here, near, there)
    leaves_by(here, f"{near.subnet}.0/24", "eth0", near.address)
    leaves_by(here, f"{there.subnet}.0/24", "flannel.ipip", there.address)
    for host in (here, near, there):
        host.run("ip", "address", "replace", f"{host.subnet}.1/32", "dev", "lo")
    here.reaches(f"{near.subnet}.1", f"{here.subnet}.1")
    here.reaches(f"{there.subnet}.1", f"{here.subnet}.1")
