"""wireguard with real daemons and a real kernel, where that has it."""

import base64
import json
from typing import Any

import pytest

from flanneld_py.errors import Exit
from lab import wait
from tests.kernel.faults import Node, cut, needs, nodes, reach, ready
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

ONE_PSK, OTHER_PSK = (base64.b64encode(bytes([fill]) * 32).decode() for fill in (1, 2))


def configure(sandbox: Sandbox, network: dict[str, object] | None = None, **backend: object) -> None:
    needs(sandbox, "wireguard")
    whole = {"Network": "10.2.0.0/16", **(network or {}), "Backend": {"Type": "wireguard", **backend}}
    sandbox.configure(json.dumps(whole))


def peers(host: Host) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(host.run_python("list_wireguard").text)
    return found


def key_of(sandbox: Sandbox, host: Host) -> str:
    """The public key that its lease announces."""
    value = json.loads(sandbox.leases()[f"{host.subnet}.0-24"])
    return str(value["BackendData"]["PublicKey"])


def test_leases_devices_and_routes_say_where_peers_are(sandbox):
    configure(sandbox)
    here, there = (node.host for node in nodes(sandbox, pods=False))
    assert key_of(sandbox, here) != key_of(sandbox, there)
    value = json.loads(sandbox.leases()[f"{here.subnet}.0-24"])
    assert value["BackendType"] == "wireguard"
    assert value["BackendData"]["Port"] == 51820
    link = here.link("flannel-wg")
    assert link is not None
    assert (link["mtu"], [item["local"] for item in link["addr_info"]]) == (1420, [f"{here.subnet}.0"])
    assert "FLANNEL_MTU=1420\n" in here.subnet_env
    assert here.run("ip", "route", "show", "dev", "flannel-wg").text.split() == [
        f"{there.subnet}.0/24", "proto", "241", "scope", "link",
    ]  # fmt: skip
    assert peers(here) == {
        key_of(sandbox, there): {
            "endpoint": f"{there.address}:51820",
            "allowed": [f"{there.subnet}.0/24"],
            "psk": "",
        }
    }


def test_pods_reach_each_other_and_nobody_on_the_way_can_read_it(sandbox):
    configure(sandbox)
    here, there = nodes(sandbox)
    watcher = sandbox.spawn("tcpdump", "-i", "to-a", "-nlX", "udp", "or", "icmp")
    watcher.says("listening on to-a")
    here.inside.reaches(there.inside.address, here.inside.address)
    there.inside.reaches(here.inside.address, there.inside.address)
    watcher.says(f"{here.host.address}.51820 > {there.host.address}.51820")
    here.inside.run("ping", "-c1", "-p", b"overlay!".hex(), there.inside.address)
    watcher.signal("INT")
    watcher.ends()
    assert "ICMP" not in watcher.log
    assert "overlay" not in watcher.log


def test_a_packet_of_the_full_mtu_and_a_long_transfer_cross_whole(sandbox):
    configure(sandbox)
    here, there = nodes(sandbox)
    reach(here, there)
    # IPv4 and ICMP headers: 20 + 8.
    here.inside.run("ping", "-c1", "-M", "do", "-s", str(1420 - 28), there.inside.address)
    server = there.inside.start("receive_all", there.inside.address)
    server.says("listening")
    here.inside.run_python("send_zeros", there.inside.address, "3000000", here.inside.address)
    server.says("received 3000000")


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_daemon_that_restarts_loses_no_packet_and_keeps_key_and_device(sandbox, signal):
    configure(sandbox)
    here, there = nodes(sandbox)
    reach(here, there)
    leases, link = sandbox.leases(), here.host.link("flannel-wg")
    flow = Flow.begin(here.inside, there.inside.address)
    here.restart(signal)
    here.daemon.says("Watching for new subnet leases")
    assert flow.end().lost == ()
    assert sandbox.leases() == leases
    assert here.host.link("flannel-wg") == link
    ready(here, there)


def test_a_machine_that_takes_the_place_of_another_gets_its_packets(sandbox):
    configure(sandbox, {"SubnetMin": "10.2.1.0", "SubnetMax": "10.2.2.0"})
    here, there = nodes(sandbox)
    reach(here, there)
    old = key_of(sandbox, there.host)
    there.daemon.signal("TERM")
    there.daemon.ends()
    there.host.run("ip", "link", "delete", "flannel-wg")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/{there.host.subnet}.0-24")
    heir = sandbox.host("c")
    daemon = heir.flanneld()
    daemon.says("Subnet added: ")
    assert heir.subnet == there.host.subnet
    reach(here, Node(heir, daemon, heir.pod()))
    assert [*peers(here.host)] == [key_of(sandbox, heir)] != [old]


def test_a_machine_that_comes_with_another_key_is_reached_by_it(sandbox):
    """As after a reboot, which empties /run."""
    configure(sandbox)
    here, there = nodes(sandbox)
    reach(here, there)
    old = key_of(sandbox, there.host)
    there.daemon.signal("KILL")
    there.daemon.ends()
    there.host.run("ip", "link", "delete", "flannel-wg")
    sandbox.run("rm", f"/run/flannel-{there.host.name}/wgkey")
    there.daemon = there.host.flanneld()
    there.daemon.says("Subnet added: ")
    reach(here, there)
    assert [*peers(here.host)] == [key_of(sandbox, there.host)] != [old]


def test_a_peer_that_moves_while_we_are_away_is_reached_when_we_are_back(sandbox):
    configure(sandbox)
    here, there = nodes(sandbox)
    reach(here, there)
    here.daemon.signal("TERM")
    here.daemon.ends()
    # The kernel itself takes the address that an authentic packet comes from, a late keepalive's say.
    with cut(here.host, incoming=["udp dport 51820"]):
        # One address at a time, so that nothing tells us where it is now.
        there.host.run("sh", "-ec", "ip address flush dev eth0; ip address add 192.168.50.77/24 dev eth0")
        there.daemon.says("following")

        def moved() -> bool | wait.NotYet:
            return "192.168.50.77" in str(sandbox.leases()) or wait.NotYet(sandbox.leases())

        eventually(moved, "the lease to name the new address", 20)
        assert peers(here.host)[key_of(sandbox, there.host)]["endpoint"] == "192.168.50.12:51820"
        here.daemon = here.host.flanneld()
        here.daemon.says("Watching for new subnet leases")

        def known() -> bool | wait.NotYet:
            found = peers(here.host)[key_of(sandbox, there.host)]["endpoint"]
            return found == "192.168.50.77:51820" or wait.NotYet(found)

        eventually(known, "the peer to be looked for where it is now", 20)
    reach(here, there)


def test_a_peer_that_somebody_removes_is_set_again(sandbox):
    configure(sandbox)
    here, there = nodes(sandbox)
    reach(here, there)
    wanted = peers(here.host)
    here.host.run_python("remove_peer", *wanted)  # fails if it cannot

    def probe() -> bool | wait.NotYet:
        found = peers(here.host)
        return found == wanted or wait.NotYet(found)

    eventually(probe, "the peer to be there again", 15)
    reach(here, there)


def test_another_preshared_key_counts_after_a_restart(sandbox):
    configure(sandbox, PSK=ONE_PSK)
    here, there = nodes(sandbox)
    reach(here, there)
    configure(sandbox, PSK=OTHER_PSK)
    for node in (here, there):
        node.restart("TERM")
        node.daemon.says("Subnet added: ")
    reach(here, there)
    for node in (here, there):
        assert [peer["psk"] for peer in peers(node.host).values()] == [OTHER_PSK]


def test_a_machine_with_another_port_is_reached_at_it(sandbox):
    configure(sandbox)
    here, there = nodes(sandbox)
    configure(sandbox, ListenPort=51900)
    there.restart("TERM")
    there.daemon.says("Subnet added: ")
    reach(here, there)
    assert [peer["endpoint"] for peer in peers(here.host).values()] == [f"{there.host.address}:51900"]


def test_a_port_that_another_program_has_is_named_before_a_lease_is_taken(sandbox):
    configure(sandbox)
    host = sandbox.host("a")
    host.start("hold_port", "51820").says("bound")
    daemon = host.flanneld()
    assert daemon.ends() == Exit.TAKEN
    assert "UDP port 51820 is in use" in daemon.log.splitlines()[-1]
    assert sandbox.leases() == {}
    assert "flannel-wg" not in host.links()
