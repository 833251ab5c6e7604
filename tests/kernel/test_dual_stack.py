"""Overlays of both address families, and of IPv6 alone, by vxlan, by host-gw and by wireguard."""

import json
import re
from collections.abc import Sequence
from ipaddress import IPv6Network

import pytest

from lab import wait
from tests.kernel.dual_stack import DUAL, address6, subnet6, two_machines
from tests.kernel.faults import needs
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host, Process, Sandbox, eventually

pytestmark = pytest.mark.kernel

IPV6_ONLY = {"EnableIPv4": False, "EnableIPv6": True, "IPv6Network": "2001:cafe:42::/56"}


def configured(sandbox: Sandbox, config: dict[str, object], **backend: object) -> tuple[Host, Host]:
    sandbox.configure(json.dumps({**config, "Backend": backend}))
    hosts = two_machines(sandbox)
    start(hosts)
    return hosts


def start(hosts: Sequence[Host]) -> list[Process]:
    daemons = [host.flanneld() for host in hosts]
    for daemon in daemons:
        daemon.says("Subnet added: ")
    return daemons


def pod6(host: Host) -> tuple[Host, str]:
    """A pod with IPv6 alone, and its address."""
    first, second = subnet6(host)[1], subnet6(host)[2]
    made = Host(host.sandbox, f"{host.name}-pod", str(second))
    script = f"""
        ip netns add {made.name}
        ip netns exec {made.name} sysctl -qw net.ipv6.conf.default.accept_dad=0
        ip -n {host.name} link add docker0 type bridge
        ip -n {host.name} address add {first}/64 dev docker0 nodad
        ip -n {host.name} link set docker0 up
        ip -n {host.name} link add name to-pod type veth peer name eth0 netns {made.name}
        ip -n {host.name} link set to-pod master docker0 up
        ip -n {made.name} link set eth0 up
        ip -n {made.name} address add {second}/64 dev eth0 nodad
        ip -n {made.name} route add default via {first}
    """
    host.sandbox.run("sh", "-ec", script)
    host.sandbox.pods.append(made)
    return made, str(second)


def mac_of(host: Host, name: str) -> str:
    link = host.link(name)
    assert link is not None
    return str(link["address"])


def shown(host: Host, *argv: str) -> list[str]:
    return [" ".join(line.split()) for line in host.run(*argv).text.splitlines()]


def ways(host: Host) -> list[str]:
    """Routes, neighbours and FDB entries of flannel-v6.1, without the kernel's own of the link."""
    lines = [
        *shown(host, "ip", "-6", "route", "show", "dev", "flannel-v6.1"),
        *shown(host, "ip", "-6", "neighbour", "show", "dev", "flannel-v6.1"),
        *shown(host, "bridge", "fdb", "show", "dev", "flannel-v6.1"),
    ]
    return sorted(line for line in lines if not line.startswith("fe80::") and "proto kernel" not in line)


def way(subnet: IPv6Network, mac: str, address: str) -> list[str]:
    """One peer's, as flannel 0.20.2 makes them, with our marks."""
    first = subnet.network_address
    return sorted(
        [
            f"{subnet} via {first} proto 241 metric 1024 onlink pref medium",
            f"{first} lladdr {mac} PERMANENT proto 241",
            f"{mac} dst {address} self extern_learn permanent",
        ]
    )


def has(host: Host, expected: list[str], timeout: float = 20) -> None:
    def probe() -> bool | wait.NotYet:
        seen = ways(host)
        return seen == expected or wait.NotYet(seen)

    eventually(probe, f"{expected} on {host.name}", timeout)


@pytest.fixture
def hosts(sandbox: Sandbox) -> tuple[Host, Host]:
    return configured(sandbox, DUAL, Type="vxlan")


# vxlan


def test_leases_name_both_families_as_flannels_do(hosts, sandbox):
    expected = {}
    for host in hosts:
        subnet = subnet6(host)
        macs = mac_of(host, "flannel.1"), mac_of(host, "flannel-v6.1")
        assert macs[0] != macs[1]
        expected[f"{host.subnet}.0-24&{subnet.network_address}-64"] = (
            f'{{"PublicIP":"{host.address}","PublicIPv6":"{address6(host)}","BackendType":"vxlan",'
            f'"BackendData":{{"VNI":1,"VtepMAC":"{macs[0]}"}},"BackendV6Data":{{"VNI":1,"VtepMAC":"{macs[1]}"}}}}'
        )
    assert sandbox.leases() == expected


def test_the_mtu_for_pods_fits_both_devices(hosts):
    mtus = [hosts[0].link(name)["mtu"] for name in ("flannel.1", "flannel-v6.1")]
    # 20 bytes more of IPv6 header around each packet.
    assert mtus == [1450, 1430]
    assert "FLANNEL_MTU=1430" in hosts[0].subnet_env


@pytest.mark.thorough
def test_the_device_of_ipv6_is_flannels(hosts):
    host = hosts[0]
    details = " ".join(shown(host, "ip", "-d", "link", "show", "flannel-v6.1"))
    assert f"vxlan id 1 local {address6(host)} dev eth0 srcport 0 0 dstport 8472" in details
    link = host.link("flannel-v6.1")
    held = [f"{item['local']}/{item['prefixlen']}" for item in link["addr_info"] if item["scope"] == "global"]
    assert held == [f"{subnet6(host).network_address}/128"]
    assert host.run("cat", "/proc/sys/net/ipv6/conf/flannel-v6.1/accept_ra").text == "0\n"


def test_each_peer_has_a_route_a_neighbour_and_an_fdb_entry_of_ipv6(hosts):
    here, there = hosts
    has(here, way(subnet6(there), mac_of(there, "flannel-v6.1"), address6(there)))
    has(there, way(subnet6(here), mac_of(here, "flannel-v6.1"), address6(here)))


def test_pods_talk_by_ipv6_and_by_ipv4(hosts):
    (here, source), (there, destination) = (pod6(host) for host in hosts)
    assert "1 received" in here.run("ping", "-c1", destination).text  # the very first packet
    server = there.start("receive_all", destination)
    server.says("listening")
    here.run_python("send_zeros", destination, "300000")
    server.says("received 300000")
    there.reaches(source, destination)
    hosts[0].reaches(f"{hosts[1].subnet}.0", f"{hosts[0].subnet}.0")


def test_a_packet_of_the_full_mtu_crosses_whole(hosts):
    (here, _), (_, destination) = (pod6(host) for host in hosts)
    # IPv6 and ICMPv6 headers: 40 + 8.
    here.run("ping", "-c1", "-M", "do", "-s", str(1430 - 48), destination)


def test_a_killed_daemon_that_starts_again_loses_no_packet_of_ipv6(hosts, sandbox):
    (here, _), (_, destination) = (pod6(host) for host in hosts)
    flow = Flow.begin(here, destination)
    hosts[0].daemon.signal("KILL")
    hosts[0].daemon.ends(5)
    hosts[0].flanneld().says("Watching for new subnet leases")
    assert flow.end().lost == ()


@pytest.mark.thorough
def test_what_is_deleted_of_ipv6_comes_back_and_what_vanished_goes(hosts, sandbox):
    here, there = hosts
    subnet, mac = subnet6(there), mac_of(there, "flannel-v6.1")
    wanted = way(subnet, mac, address6(there))
    script = f"""
        ip -6 route delete {subnet}
        ip -6 neighbour delete {subnet.network_address} dev flannel-v6.1
        bridge fdb delete {mac} dev flannel-v6.1 dst {address6(there)} self
    """
    here.daemon.signal("STOP")  # or it would put it right before anybody sees
    here.run("sh", "-ec", script)
    assert ways(here) == []
    here.daemon.signal("CONT")
    has(here, wanted)
    for daemon in [host.daemon for host in hosts]:
        daemon.signal("KILL")
        daemon.ends(5)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.subnet}.0-24&{subnet.network_address}-64")
    here.flanneld().says("Watching for new subnet leases")
    has(here, [])


@pytest.mark.thorough
def test_a_device_of_ipv6_that_goes_comes_back_with_all_that_it_had(hosts):
    here, there = hosts
    wanted = way(subnet6(there), mac_of(there, "flannel-v6.1"), address6(there))
    here.run("ip", "link", "delete", "flannel-v6.1")
    eventually(
        lambda: "flannel-v6.1" in here.links() or wait.NotYet(here.links()), "flannel-v6.1 on a", timeout=5
    )
    has(here, wanted)


# IPv6 alone, host-gw, and wireguard


def test_an_overlay_of_ipv6_alone(sandbox):
    hosts = configured(sandbox, IPV6_ONLY, Type="vxlan")
    assert "flannel.1" not in hosts[0].links()
    for name, value in sandbox.leases().items():
        assert name.startswith("0.0.0.0-0&2001:cafe:42:")
        # flannel's zero values.
        assert re.match(r'\{"PublicIP":"0.0.0.0","PublicIPv6":"fd00:50::1[12]","BackendType":"vxlan"', value)
        assert '"BackendData"' not in value
    (here, _), (_, destination) = (pod6(host) for host in hosts)
    here.run("ping", "-c1", destination)


@pytest.mark.thorough
def test_host_gw_of_both_families(sandbox):
    hosts = configured(sandbox, DUAL, Type="host-gw")
    here, there = hosts
    expected = f"{subnet6(there)} via {address6(there)} dev eth0 proto 241 metric 1024 pref medium"

    def probe() -> bool | wait.NotYet:
        found = shown(here, "ip", "-6", "route", "show", str(subnet6(there)))
        return found == [expected] or wait.NotYet(found)

    eventually(probe, expected)
    (pod, _), (_, destination) = (pod6(host) for host in hosts)
    pod.run("ping", "-c1", destination)
    here.run("ip", "-6", "route", "delete", str(subnet6(there)))
    eventually(probe, f"{expected}, again", timeout=12)
    assert "FLANNEL_MTU=1500" in here.subnet_env


@pytest.mark.parametrize(
    ("mode", "devices"),
    [
        ("separate", {"flannel-wg", "flannel-wg-v6"}),
        ("auto", {"flannel-wg"}),
        ("ipv4", {"flannel-wg"}),
        ("ipv6", {"flannel-wg"}),
    ],
)
def test_wireguard_of_both_families(sandbox, mode, devices):
    needs(sandbox, "wireguard")
    hosts = configured(sandbox, DUAL, Type="wireguard", Mode=mode)
    here, there = hosts
    assert {name for name in here.links() if name.startswith("flannel")} == devices
    (pod, source), (other, destination) = (pod6(host) for host in hosts)
    pod.reaches(destination, source)
    other.reaches(source, destination)
    here.reaches(f"{there.subnet}.0", f"{here.subnet}.0")
    there.reaches(f"{here.subnet}.0", f"{there.subnet}.0")
    # IPv6 and ICMPv6 headers: 40 + 8.
    pod.run("ping", "-c1", "-M", "do", "-s", str(1420 - 48), destination)
    here.run("ip", "link", "delete", min(devices))
    pod.reaches(destination, source)
    here.reaches(f"{there.subnet}.0", f"{here.subnet}.0")


def test_wireguard_of_ipv6_alone(sandbox):
    needs(sandbox, "wireguard")
    hosts = configured(sandbox, IPV6_ONLY, Type="wireguard")
    assert "flannel-wg" not in hosts[0].links()
    (here, source), (_, destination) = (pod6(host) for host in hosts)
    here.reaches(destination, source)


def test_without_an_ipv6_address_it_is_refused(sandbox):
    sandbox.configure(json.dumps({**DUAL, "Backend": {"Type": "vxlan"}}))
    daemon = sandbox.host("a").flanneld("-iface-wait=1")
    assert daemon.ends(10) == 4
    assert "IPv6" in daemon.log.splitlines()[-1]
