"""ipip with real daemons and a real kernel, where that has it."""

import json

import pytest

from tests.kernel.faults import Node, configure, needs, nodes, reach, ready
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Sandbox

pytestmark = pytest.mark.kernel


def test_lease_device_and_route_are_flannels(sandbox: Sandbox) -> None:
    configure(sandbox, "ipip")
    here, there = (node.host for node in nodes(sandbox, pods=False))
    assert sandbox.leases()[f"{here.subnet}.0-24"] == (
        f'{{"PublicIP":"{here.address}","PublicIPv6":null,"BackendType":"ipip"}}'
    )
    link = here.link("flannel.ipip")
    assert link is not None
    # 20 bytes of outer header (RFC 2003).
    assert (link["mtu"], [item["local"] for item in link["addr_info"]]) == (1480, [f"{here.subnet}.0"])
    details = " ".join(here.run("ip", "-d", "link", "show", "flannel.ipip").text.split())
    assert f"ipip remote any local {here.address}" in details
    assert "nopmtudisc" in details
    assert "FLANNEL_MTU=1480\n" in here.subnet_env
    assert " ".join(here.run("ip", "route", "show", "dev", "flannel.ipip").text.split()) == (
        f"{there.subnet}.0/24 via {there.address} proto 241 onlink"
    )


def test_packets_of_any_length_cross_whole(sandbox: Sandbox) -> None:
    configure(sandbox, "ipip")
    here, there = nodes(sandbox)
    reach(here, there)
    # IPv4 and ICMP headers: 20 + 8. DF is that of the outer packet too.
    here.inside.run("ping", "-c1", "-M", "do", "-s", str(1480 - 28), there.inside.address)
    here.inside.run("ping", "-c1", "-M", "dont", "-s", "4000", there.inside.address)
    server = there.inside.start("receive_all", there.inside.address)
    server.says("listening")
    here.inside.run_python("send_zeros", there.inside.address, "3000000", here.inside.address)
    server.says("received 3000000")


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_daemon_that_restarts_loses_no_packet_and_keeps_its_device(sandbox: Sandbox, signal: str) -> None:
    configure(sandbox, "ipip")
    here, there = nodes(sandbox)
    reach(here, there)
    leases, link = sandbox.leases(), here.host.link("flannel.ipip")
    flow = Flow.begin(here.inside, there.inside.address)
    here.restart(signal)
    here.daemon.says("Watching for new subnet leases")
    assert flow.end().lost == ()
    assert sandbox.leases() == leases
    assert here.host.link("flannel.ipip") == link
    ready(here, there)


def test_a_machine_that_takes_the_place_of_another_gets_its_packets(sandbox: Sandbox) -> None:
    configure(sandbox, "ipip", SubnetMin="10.2.1.0", SubnetMax="10.2.2.0")
    here, there = nodes(sandbox)
    reach(here, there)
    there.daemon.signal("TERM")
    there.daemon.ends()
    there.host.run("ip", "link", "delete", "flannel.ipip")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.host.subnet}.0-24")
    heir = sandbox.host("c")
    daemon = heir.flanneld()
    daemon.says("Subnet added: ")
    assert heir.subnet == there.host.subnet
    reach(here, Node(heir, daemon, heir.pod()))


def test_a_tunnel_of_another_kind_with_its_name_is_left_and_named(sandbox: Sandbox) -> None:
    needs(sandbox, "ipip")
    sandbox.configure(json.dumps({"Network": "10.2.0.0/16", "Backend": {"Type": "ipip"}}))
    host = sandbox.host("a")
    host.run("ip", "link", "add", "flannel.ipip", "type", "bridge")
    daemon = host.flanneld()
    daemon.says("flannel.ipip is no ipip device; remove it (ip link delete flannel.ipip)")
    assert daemon.ends() == 6
    assert sandbox.leases() == {}
