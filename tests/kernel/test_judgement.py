"""Leases that no backend may take: they would lead packets astray, or take the machine off the network."""

import json

import pytest

from lab import wait
from tests.kernel.faults import KINDS, Node, configure, nodes, start
from tests.kernel.harness import PREFIX, Sandbox, eventually

pytestmark = pytest.mark.kernel

DATA = {"vxlan": {"BackendType": "vxlan", "BackendData": {"VNI": 1, "VtepMAC": "52:08:00:00:00:09"}}}


def put(sandbox: Sandbox, kind: str, name: str, address: str) -> None:
    """A lease that somebody writes; without an end, as `etcdctl put` makes it."""
    data = DATA.get(kind) or ({"BackendType": kind} if kind != "udp" else {})
    value = json.dumps({"PublicIP": address, "PublicIPv6": None, **data})
    sandbox.etcdctl("put", f"{PREFIX}/subnets/{name}", value)


def state(node: Node) -> dict[str, object]:
    network: dict[str, object] = json.loads(node.get("/state").removeprefix("200 "))["networks"][0]
    return network


def peers(node: Node) -> list[str]:
    listed = state(node)["peers"]
    assert isinstance(listed, list)
    return [peer["subnet"] for peer in listed]


def refused(node: Node) -> dict[str, int]:
    found = state(node)["refused_leases"]
    assert isinstance(found, dict)
    counts: dict[str, int] = found["by_fault"]
    return counts


def counts(node: Node, expected: dict[str, int]) -> None:
    def probe() -> bool | wait.NotYet:
        seen = refused(node)
        return seen == expected or wait.NotYet(f"{seen}; log:\n{node.daemon.log}")

    eventually(probe, f"refused leases {expected}", 20)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lease_that_is_no_peers_is_refused_with_its_reason_and_changes_nothing(sandbox, kind):
    configure(sandbox, kind, SubnetMax="10.2.199.0")
    here, there = nodes(sandbox)
    before = here.host.run("ip", "route").text
    ours = here.host.subnet
    wrong = {
        "10.2.0.0-16": ("192.168.50.9", "it is a /16"),
        "10.2.250.0-25": ("192.168.50.9", "it is a /25"),
        "10.3.7.0-24": ("192.168.50.9", "it is not inside the network 10.2.0.0/16"),
        f"{ours}.7-32": ("192.168.50.9", "it is a /32"),
        "10.2.251.0-24": ("255.255.255.255", "is the broadcast address"),
        "10.2.252.0-24": ("192.168.50.255", "is the broadcast address of a network of this machine"),
        "10.2.253.0-24": ("127.0.0.1", "is a loopback address"),
        "10.2.254.0-24": (there.host.address, f"is that of {there.host.subnet}.0/24, which was there first"),
    }
    for name, (address, _) in wrong.items():
        put(sandbox, kind, name, address)
    expected = {
        "not of the network's length": 3,
        "outside the network": 1,
        "unusable public address": 3,
        "public address of another": 1,
    }
    counts(here, expected)
    assert peers(here) == [f"{there.host.subnet}.0/24"]
    assert here.host.run("ip", "route").text == before
    for name, (_, reason) in list(wrong.items())[:5]:
        assert f"Refusing the lease of {'/'.join(name.split('-'))}" in here.daemon.log
        assert reason in here.daemon.log
    here.inside.run("ping", "-c1", "-W5", there.inside.address)
    metrics = here.get("/metrics")
    assert 'flanneld_refused_leases{fault="outside the network",network=""} 1.0' in metrics
    # It is a peer once nothing speaks against it any more.
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.host.subnet}.0-24")
    here.daemon.says("Subnet added: 10.2.254.0/24")


@pytest.mark.thorough
@pytest.mark.parametrize("kind", KINDS)
def test_a_lease_that_covers_what_the_machine_needs_is_refused_until_it_is_needed_no_more(sandbox, kind):
    # A machine whose network, and whose etcd, are inside the overlay's network.
    sandbox.configure(
        json.dumps(
            {
                "Network": "192.168.0.0/16",
                "SubnetMin": "192.168.100.0",
                "SubnetMax": "192.168.120.0",
                "Backend": {"Type": kind},
            }
        )
    )
    host = sandbox.host("a")
    host.run("ip", "link", "add", "other0", "type", "bridge")
    host.run("ip", "address", "add", "192.168.77.1/30", "dev", "other0")
    node = Node(host, start(host, altered={"looks": 1}))
    node.daemon.says("covers what this machine needs to be on the network: 192.168.50.11")
    node.daemon.says("192.168.50.1 (the registry's address)")
    node.daemon.says("Watching for new subnet leases")
    put(sandbox, kind, "192.168.50.0-24", "192.168.50.9")
    node.daemon.says("Refusing the lease of 192.168.50.0/24 by 192.168.50.9: its public address")
    put(sandbox, kind, "192.168.50.0-24", "203.0.113.9")
    put(sandbox, kind, "192.168.77.0-24", "192.168.50.77")
    counts(node, {"covers an address that is needed": 2})
    # Still on the network, and so it learns of what comes.
    put(sandbox, kind, "192.168.130.0-24", "192.168.50.12")
    node.daemon.says("Subnet added: 192.168.130.0/24")
    host.run("ip", "address", "flush", "dev", "other0")
    node.daemon.says("Subnet added: 192.168.77.0/24", timeout=30)


@pytest.mark.thorough
def test_with_one_route_for_the_network_what_it_covers_keeps_routes_of_its_own(sandbox):
    # etcd and a peer are behind a router, and the overlay's network covers both of them.
    sandbox.configure(
        json.dumps({"Network": "192.168.0.0/16", "SubnetMin": "192.168.100.0", "SubnetMax": "192.168.120.0"})
    )
    sandbox.run("ip", "address", "add", "192.168.77.1/32", "dev", "br0")
    host = sandbox.host("a")
    host.run("ip", "route", "add", "default", "via", "192.168.50.1")
    daemon = host.flanneld("-udp-fast-path=off", endpoints="http://192.168.77.1:2379", altered={"looks": 1})
    daemon.says("192.168.77.1 (the registry's address)")
    daemon.says("Watching for new subnet leases")
    put(sandbox, "udp", "192.168.130.0-24", "192.168.78.9")
    daemon.says("Subnet added: 192.168.130.0/24")
    routes = host.run("ip", "route", "show", "proto", "241").text
    assert "192.168.77.1 via 192.168.50.1 dev eth0" in routes
    assert "192.168.78.9 via 192.168.50.1 dev eth0" in routes
    # The router moves.
    sandbox.run("ip", "address", "add", "192.168.50.2/24", "dev", "br0")
    host.run("ip", "route", "replace", "default", "via", "192.168.50.2")

    def moved() -> bool | wait.NotYet:
        seen = host.run("ip", "route", "show", "proto", "241").text
        return seen.count("via 192.168.50.2 dev eth0") == 2 or wait.NotYet(seen)

    eventually(moved, "routes by the new gateway", 30)
    sandbox.etcdctl("del", f"{PREFIX}/subnets/192.168.130.0-24")
    daemon.says("Subnet removed: 192.168.130.0/24")
    assert "192.168.78.9" not in host.run("ip", "route").text
    daemon.signal("TERM")
    assert daemon.ends() == 0
    assert host.run("ip", "route", "show", "proto", "241").text == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_route_that_leads_our_own_subnet_away_is_removed_if_it_is_flannels_and_told_of_if_not(
    sandbox, kind
):
    configure(sandbox, kind)
    host = sandbox.host("a")
    daemon = host.flanneld("-iptables-resync=1")
    ours = host.subnet
    host.run("ip", "route", "add", f"{ours}.0/24", "via", "192.168.50.77", "proto", "241")
    daemon.says(
        f"Removed the route {ours}.0/24 via 192.168.50.77 dev eth0, which led packets for our own", timeout=30
    )
    assert f"{ours}.0/24 via" not in host.run("ip", "route").text
    host.run("ip", "route", "add", f"{ours}.128/25", "via", "192.168.50.77")
    daemon.says(
        f"The route {ours}.128/25 via 192.168.50.77 dev eth0 leads packets for our own subnet", timeout=30
    )
    assert f"{ours}.128/25 via" in host.run("ip", "route").text
    host.bridge()  # Docker's own is none
    assert daemon.log.count("leads packets for our own subnet") == 1


def test_of_a_flood_of_leases_a_few_are_told_and_all_are_counted(sandbox):
    configure(sandbox, "vxlan")
    here, there = nodes(sandbox)
    fill = "".join(
        f'put {PREFIX}/subnets/10.3.{number}.0-24 "{{\\"PublicIP\\":\\"192.168.60.{number}\\"}}"\n'
        for number in range(1, 101)
    )
    junk = "".join(f"put {PREFIX}/subnets/junk{number} x\n" for number in range(1, 101))
    for text in (fill, junk):
        sandbox.run("sh", "-ec", f"printf '%s' '\n{text}\n\n' | etcdctl txn >/dev/null")
    counts(here, {"outside the network": 100})
    assert here.daemon.log.count("Refusing the lease of") <= 6
    assert here.daemon.log.count("Ignoring the key") <= 6
    here.inside.run("ping", "-c1", "-W5", there.inside.address)
