"""Two daemons, a real etcd, a real kernel."""

import json

import pytest

from tests.kernel.harness import ETCD, PREFIX

pytestmark = pytest.mark.kernel


def test_a_lease_is_written_as_flannel_writes_it(pair, sandbox):
    values = {f"{host.subnet}.0-24": f'{{"PublicIP":"{host.address}","PublicIPv6":null}}' for host in pair}
    assert sandbox.leases() == values


def test_subnet_env_says_what_flannels_would(pair):
    # flannel-0.5.5's file, with the tutorial's network; the bridge's address is the subnet's first.
    for host in pair:
        assert host.subnet_env.splitlines() == [
            "FLANNEL_NETWORK=10.2.0.0/16",
            f"FLANNEL_SUBNET={host.subnet}.1/24",
            "FLANNEL_MTU=1472",
            "FLANNEL_IPMASQ=false",
        ]


def test_flannel0_is_the_tutorials(pair):
    for host in pair:
        link = host.link("flannel0")
        assert (link["mtu"], link["txqlen"], link["link_type"]) == (1472, 500, "none")
        assert "UP" in link["flags"]
        (address,) = [item for item in link["addr_info"] if item["family"] == "inet"]
        assert f"{address['local']}/{address['prefixlen']}" == f"{host.subnet}.0/16"
        routes = host.run("ip", "route", "show", "dev", "flannel0").text.split("\n")
        assert [route.strip() for route in routes if route] == [
            f"10.2.0.0/16 proto kernel scope link src {host.subnet}.0"
        ]


def test_a_packet_crosses_with_its_ttl_one_lower_at_each_end_and_at_each_router(pair):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    # Only the two daemons lower it: the addresses are the machines' own, so no kernel forwards.
    assert "ttl=62" in here.reaches(destination, source)


def test_tcp_crosses_the_overlay(pair):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    here.reaches(destination, source)
    server = there.start("receive_all", destination)
    server.says("listening")
    here.run_python("send_zeros", destination, "3000000", source)
    server.says("received 3000000")


def test_an_unknown_destination_is_answered_with_net_unreachable(pair):
    here, _ = pair
    source = here.bridge()
    ping = here.run("ping", "-c1", "-I", source, "10.2.0.9", check=False)
    assert "Destination Net Unreachable" in ping.text


def test_a_packet_of_the_full_mtu_crosses_whole(pair):
    here, there = pair
    source, destination = here.bridge(), there.bridge()
    here.reaches(destination, source)
    # 1472 bytes with IPv4 and ICMP header (20 + 8), and "do not fragment".
    here.run("ping", "-c1", "-M", "do", "-s", "1444", "-I", source, destination)


def test_a_peer_that_joins_is_reached_and_one_whose_lease_goes_is_not(pair, sandbox):
    here, _ = pair
    source = here.bridge()
    third = sandbox.host("c")
    daemon = third.flanneld()
    daemon.says("Subnet lease acquired")
    daemon.says("Watching for new subnet leases")
    destination = third.bridge()
    here.reaches(destination, source)

    daemon.signal("TERM")
    assert daemon.ends() == 0
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{third.subnet}.0-24")
    here.daemon.says(f"Subnet removed: {third.subnet}.0/24")
    ping = here.run("ping", "-c1", "-I", source, destination, check=False)
    assert "Destination Net Unreachable" in ping.text


def test_two_daemons_that_start_at_once_hold_different_subnets(sandbox):
    # Four subnets, of which flannel leaves the first out: collisions are likely, and must be resolved.
    sandbox.configure(json.dumps({"Network": "10.2.0.0/22", "SubnetLen": 24}))
    hosts = [sandbox.host(name) for name in "abc"]
    for daemon in [host.flanneld() for host in hosts]:
        daemon.says("Subnet lease acquired")
    assert sorted(sandbox.leases()) == ["10.2.1.0-24", "10.2.2.0-24", "10.2.3.0-24"]


def test_out_of_subnets_is_said_and_waited_out(sandbox):
    sandbox.configure(json.dumps({"Network": "10.2.0.0/22", "SubnetLen": 24}))
    for number in (1, 2, 3):
        value = f'{{"PublicIP":"192.168.50.{100 + number}","PublicIPv6":null}}'
        sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.{number}.0-24", value)
    daemon = sandbox.host("a").flanneld()
    daemon.says("Failed to acquire subnet: out of subnets")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/10.2.2.0-24")
    daemon.says("Subnet lease acquired: 10.2.2.0/24")


def test_the_first_endpoint_may_be_dead(sandbox):
    sandbox.configure()
    daemon = sandbox.host("a").flanneld(endpoints=f"http://192.168.50.1:4001,{ETCD}")
    daemon.says("Subnet lease acquired")
