"""The packet filter's rules with traffic of both families: pods of a dual overlay, by vxlan.

Addresses that servers see are what flannel 0.20.2's rules lead to, for IPv6 as for IPv4.
"""

import json
from dataclasses import dataclass

import pytest

from tests.kernel.dual_stack import DUAL, NO_DAD, address6, subnet6, two_machines
from tests.kernel.harness import Host, Sandbox

pytestmark = pytest.mark.kernel


@dataclass(frozen=True)
class Pod:
    """A namespace behind docker0, with an address of each family."""

    host: Host
    ipv4: str
    ipv6: str


def pod_of(machine: Host) -> Pod:
    made = machine.pod()
    gateway, own = subnet6(machine)[1], subnet6(machine)[2]
    script = f"""
        ip -n {machine.name} address add {gateway}/64 dev docker0 nodad
        ip -n {made.name} address add {own}/64 dev eth0 nodad
        ip -n {made.name} route add default via {gateway}
    """
    made.sandbox.run("sh", "-ec", script)
    return Pod(made, made.address, str(own))


def outside_of(sandbox: Sandbox) -> Host:
    """A machine without flannel, fd00:50::13."""
    made = sandbox.host("outside")
    made.run("sysctl", "-qw", *NO_DAD.split(), "net.ipv6.conf.all.disable_ipv6=0")
    made.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.eth0.disable_ipv6=0")
    made.run("ip", "address", "add", f"{address6(made)}/64", "dev", "eth0", "nodad")
    return made


def machines(sandbox: Sandbox, *options: str, nftables: bool, dropping: bool) -> tuple[Host, Host]:
    """Two with flannel; `dropping`: their policy of FORWARD is DROP, as Docker leaves it."""
    sandbox.configure(json.dumps({**DUAL, "EnableNFTables": nftables, "Backend": {"Type": "vxlan"}}))
    hosts = two_machines(sandbox)
    for host in hosts if dropping else ():
        for program in ("iptables", "ip6tables"):
            host.run(program, "-P", "FORWARD", "DROP")
    for daemon in [host.flanneld(*options) for host in hosts]:
        daemon.says("Subnet added: ")
    return hosts


@pytest.fixture(params=["iptables", "nftables"])
def world(request, sandbox: Sandbox) -> tuple[Host, Host, Host]:
    """Two machines whose daemons masquerade, and one without flannel.

    With iptables all that is not accepted is dropped; nft's tables cannot overrule another's drop.
    """
    nftables = request.param == "nftables"
    return *machines(sandbox, "-ip-masq", nftables=nftables, dropping=not nftables), outside_of(sandbox)


def test_pods_see_each_others_own_addresses_in_both_families(world):
    here, there = (pod_of(host) for host in world[:2])
    for server, client in ((there, here), (here, there)):
        assert server.host.sees(client.host, server.ipv6) == client.ipv6
        assert server.host.sees(client.host, server.ipv4) == client.ipv4


@pytest.mark.thorough
def test_a_pod_is_seen_from_outside_with_its_machines_address_of_the_same_family(world):
    machine, _, outside = world
    pod = pod_of(machine)
    assert outside.sees(pod.host, address6(outside)) == address6(machine)
    assert outside.sees(pod.host, outside.address) == machine.address


@pytest.mark.thorough
def test_a_pod_sees_the_own_ipv6_address_of_a_client_that_comes_by_its_machine(world):
    machine, _, outside = world
    pod = pod_of(machine)
    outside.run("ip", "-6", "route", "add", str(subnet6(machine)), "via", address6(machine))
    assert pod.host.sees(outside, pod.ipv6) == address6(outside)


@pytest.mark.thorough
def test_what_enters_the_overlay_of_ipv6_by_another_machine_can_be_answered_by_that(world):
    machine, other, outside = world
    pod = pod_of(other)
    outside.run("ip", "-6", "route", "add", str(subnet6(other)), "via", address6(machine))
    # The address of flannel-v6.1, which the packet leaves that machine by.
    assert pod.host.sees(outside, pod.ipv6) == str(subnet6(machine).network_address)


@pytest.mark.thorough
def test_a_packet_of_the_full_mtu_leaves_the_overlay_masqueraded_and_whole(world):
    machine, _, outside = world
    pod = pod_of(machine)
    # IPv6 and ICMPv6 headers: 40 + 8. An answer comes back to the machine's address alone.
    pod.host.run("ping", "-c1", "-M", "do", "-s", str(1430 - 48), address6(outside))


def test_where_the_policy_is_drop_only_flannels_rules_let_ipv6_through(sandbox):
    hosts = machines(sandbox, "-iptables-resync=600", nftables=False, dropping=True)
    here, there = (pod_of(host) for host in hosts)
    here.host.run("ping", "-c1", there.ipv6)
    hosts[1].run("ip6tables", "-F", "FLANNEL-FWD")
    assert here.host.run("ping", "-c1", "-W1", there.ipv6, check=False).exit_code == 1
    here.host.run("ping", "-c1", there.ipv4)  # each family has its own


@pytest.mark.thorough
def test_without_masquerading_a_pod_is_seen_from_outside_with_its_own_ipv6_address(sandbox):
    machine, _ = machines(sandbox, nftables=False, dropping=True)
    outside, pod = outside_of(sandbox), pod_of(machine)
    outside.run("ip", "-6", "route", "add", str(subnet6(machine)), "via", address6(machine))
    assert outside.sees(pod.host, address6(outside)) == pod.ipv6
