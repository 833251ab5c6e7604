"""Whose packets a vxlan device takes: those from the public address of a machine that holds a lease."""

import pytest

from lab import wait
from tests.kernel.faults import Node, configure, listening, nodes, start
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

NO_PEER = "the sending node holds no lease"


def forge(host: Host, at: Node, words: str, source: str, vni: int = 1) -> None:
    link = at.host.link("flannel.1")
    assert link is not None
    pod = at.inside.address
    host.run_python("forge_vxlan", at.host.address, link["address"], str(vni), source, pod, words)


def allowed(node: Node, table: str = "flannel-vxlan.1") -> str:
    return node.host.run("nft", "list", "set", "inet", table, "ipv4").text


def test_a_packet_from_a_machine_without_a_lease_never_arrives_and_is_counted(sandbox: Sandbox) -> None:
    configure(sandbox, "vxlan", SubnetMax="10.2.199.0")  # no daemon picks the stranger's
    here, there = nodes(sandbox)
    heard = listening(here)
    stranger = sandbox.host("x")
    # What the other sent before we had its lease may be among them.
    before = here.dropped(NO_PEER)
    forge(stranger, here, "forged", there.inside.address)
    here.has_dropped(NO_PEER, before + 1)
    forge(there.host, here, "genuine", there.inside.address)
    heard.says("genuine")
    assert "forged" not in heard.log
    # Another device of this machine may have the port, too.
    before = here.dropped(NO_PEER)
    for _ in range(10):
        forge(stranger, here, "other", there.inside.address, vni=2)
    assert here.dropped(NO_PEER) < before + 10
    # It is let in as soon as it holds a lease, and as long as it does.
    data = '"BackendType":"vxlan","BackendData":{"VtepMAC":"52:08:00:00:00:09"}'
    value = f'{{"PublicIP":"{stranger.address}",{data}}}'
    sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.250.0-24", value)
    here.daemon.says("Subnet added: 10.2.250.0/24")
    forge(stranger, here, "leased", "10.2.250.7")
    heard.says("leased")
    sandbox.etcdctl("del", f"{PREFIX}/subnets/10.2.250.0-24")
    here.daemon.says("Subnet removed: 10.2.250.0/24")
    forge(stranger, here, "too late", "10.2.250.7")
    here.has_dropped(NO_PEER, 2)
    assert "too late" not in heard.log


@pytest.mark.thorough
def test_peers_go_on_over_a_restart_and_what_others_do_to_the_table_is_put_right(sandbox: Sandbox) -> None:
    configure(sandbox, "vxlan")
    here, there = nodes(sandbox)
    flow = Flow.begin(here.inside, there.inside.address)
    here.restart("KILL", altered={"looks": 1})
    here.daemon.says("Watching for new subnet leases")
    assert flow.end().lost == ()
    for harm in (
        "delete table inet flannel-vxlan.1",
        f"delete element inet flannel-vxlan.1 ipv4 {{ {there.host.address} }}",
        "flush chain inet flannel-vxlan.1 input",
    ):
        here.host.run("nft", harm)

        def repaired() -> bool | wait.NotYet:
            shown = here.host.run("nft", "list", "table", "inet", "flannel-vxlan.1", check=False).output
            whole = there.host.address in shown and "@th,96,24" in shown
            return whole or wait.NotYet(shown)

        eventually(repaired, f"{harm} to be undone", 40)
    here.inside.run("ping", "-c1", "-W5", there.inside.address)


def test_behind_a_nat_the_check_is_turned_off_and_leaves_nothing(sandbox: Sandbox) -> None:
    configure(sandbox, "vxlan")
    here, there = nodes(sandbox)
    assert there.host.address in allowed(here)
    here.daemon.signal("TERM")
    here.daemon.ends(10)
    here.daemon = start(here.host, "-vxlan-source-check=off")
    here.daemon.says("Subnet added: ")
    assert "flannel-vxlan" not in here.host.run("nft", "list", "tables").text
    heard = listening(here)
    forge(sandbox.host("x"), here, "behind a NAT", there.inside.address)
    heard.says("behind a NAT")


@pytest.mark.parametrize("kind", ["udp", "vxlan"])
def test_without_nft_that_is_said_once_and_peers_are_reached(sandbox: Sandbox, kind: str) -> None:
    configure(sandbox, kind)
    with sandbox.without("nft"):
        daemon = sandbox.host("a").flanneld()
        daemon.says("nft was not found; install the package nftables")
        daemon.says("Watching for new subnet leases")
        assert daemon.log.count("nft was not found") == 1


COUNT = """
add table ip seen
add chain ip seen in { type filter hook prerouting priority -400 ; }
add rule ip seen in udp length 16 counter
"""


@pytest.mark.parametrize(("kind", "port"), [("udp", 8285), ("vxlan", 8472)])
def test_what_a_container_sends_to_a_peer_in_another_peers_name_does_not_leave_the_machine(
    sandbox, kind, port
):
    configure(sandbox, kind)
    here, there, third = nodes(sandbox, 3, "-pod-source-check=off")  # which drops it on any port
    for address in (there.host.address, third.host.address):
        assert address in here.host.run("nft", "list", "ruleset").text
    there.host.run("nft", COUNT)
    here.host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0")
    here.host.run("sysctl", "-qw", "net.ipv4.conf.docker0.rp_filter=0")

    def send(source: str) -> None:
        here.inside.run_python("forge_outer", source, there.host.address, str(port))

    send(third.host.address)
    here.has_dropped("forged in a peer's name on this machine", 1)
    # Another port is none of ours.
    here.inside.run_python("forge_outer", third.host.address, there.host.address, "9999")

    def arrived() -> bool | wait.NotYet:
        shown = there.host.run("nft", "list", "table", "ip", "seen").text
        return "packets 1 " in shown or wait.NotYet(shown)

    eventually(arrived, "the other one to arrive, and no more")
    assert here.dropped("forged in a peer's name on this machine") == 1


PASSED_ON = """
add table ip nat
add chain ip nat out { type nat hook postrouting priority 100 ; }
add rule ip nat out oif eth0 masquerade
"""


@pytest.mark.parametrize(("kind", "port"), [("udp", 8285), ("vxlan", 8472)])
def test_what_a_container_sends_to_a_peers_port_in_its_own_name_does_not_leave_the_machine(
    sandbox, kind, port
):
    # Masqueraded it would come from a machine that holds a lease, with whatever a container has put in it.
    configure(sandbox, kind)
    here, there = nodes(sandbox, 2)
    assert there.host.address in here.host.run("nft", "list", "ruleset").text
    here.host.run("nft", PASSED_ON)
    there.host.run("nft", COUNT)
    here.inside.run_python("forge_outer", here.inside.address, there.host.address, str(port))
    here.has_dropped("sent to a peer's overlay port by no machine of the overlay", 1)
    here.inside.run_python("forge_outer", here.inside.address, there.host.address, "9999")

    def arrived() -> bool | wait.NotYet:
        shown = there.host.run("nft", "list", "table", "ip", "seen").text
        return "packets 1 " in shown or wait.NotYet(shown)

    eventually(arrived, "what is for another port to arrive, and no more")
