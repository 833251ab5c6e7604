"""Faults of the network between the machines, and of the machines' own interfaces."""

import pytest

from tests.kernel.faults import Node, behind_a_narrow_path, configure, cut, nodes, ready, start
from tests.kernel.flow import Flow
from tests.kernel.harness import PREFIX, Host

pytestmark = pytest.mark.kernel

ETCD = "192.168.50.1"


def mac(node: Node) -> str:
    link = node.host.link("eth0")
    assert link is not None
    return str(link["address"])


# Partitions


@pytest.mark.parametrize(
    ("kind", "way"), [("udp", "both ways"), ("vxlan", "requests"), ("host-gw", "answers")]
)
def test_a_machine_that_cannot_reach_etcd_is_degraded_and_carries_all_the_same(sandbox, kind, way):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    ready(here, there)
    flow = Flow.begin(here.inside, there.inside.address)
    away = {
        "incoming": [f"ip saddr {ETCD}"] if way != "requests" else [],
        "outgoing": [f"ip daddr {ETCD}"] if way != "answers" else [],
    }
    with cut(here.host, **away):
        here.says_ready("200", "degraded: Watch subnets: etcd does not answer", timeout=15)
        there.is_well()
        # What happens meanwhile is learned afterwards.
        sandbox.etcdctl("put", f"{PREFIX}/subnets/10.2.0.0-24", '{"PublicIP":"192.168.50.99"}')
    here.is_well()
    here.daemon.says("Subnet added: 10.2.0.0/24")
    assert flow.end().lost == ()
    assert "lost: " not in here.daemon.log


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kind", "way"),
    [("udp", "both ways"), ("udp", "one way"), ("vxlan", "one way"), ("host-gw", "both ways")],
)
def test_machines_that_cannot_reach_each_other_stay_ready_and_find_each_other_again(sandbox, kind, way):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    ready(here, there)
    leases = sandbox.leases()
    flow = Flow.begin(here.inside, there.inside.address)
    outgoing = [f"ether daddr {mac(there)}"] if way == "both ways" else []
    with cut(here.host, incoming=[f"ether saddr {mac(there)}"], outgoing=outgoing):
        flow.stands_still()
        # Leases are etcd's business, which both can reach.
        ready(here, there)
    flow.goes_on(timeout=5)
    ready(here, there)
    assert sandbox.leases() == leases


# Smaller packets than the interface promises


def selects(here: Host, there: Host) -> None:
    """Have 10 MB sent over TCP, as a row of a database."""
    there.start("give_ten_megabytes", there.address).says("listening")
    assert here.run_python("count_received", there.address).text == "10000000\n"


@pytest.mark.parametrize(("kind", "mtu"), [("udp", 1372), ("vxlan", 1350), ("host-gw", 1400)])
def test_on_an_underlay_of_1400_bytes_10_mb_arrive(sandbox, kind, mtu):
    configure(sandbox, kind)
    made = [Node(host, start(host)) for host in map(narrow, map(sandbox.host, "ab"))]
    for node in made:
        node.daemon.says("Subnet added: ")
        assert f"FLANNEL_MTU={mtu}\n" in node.host.subnet_env
        node.pod = node.host.pod()
        # As Docker does with FLANNEL_MTU.
        node.inside.run("ip", "link", "set", "eth0", "mtu", str(mtu))
    here, there = (node.inside for node in made)
    here.reaches(there.address, here.address)
    selects(here, there)


def narrow(host: Host) -> Host:
    host.run("ip", "link", "set", "eth0", "mtu", "1400")
    return host


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["udp", "vxlan"])
def test_a_path_narrower_than_both_ends_that_tells_nobody_is_no_black_hole(sandbox, kind):
    """Encapsulated packets may be fragmented on their way, so a path MTU that is not told does no harm."""
    configure(sandbox, kind)
    here, there = sandbox.host("a"), sandbox.host("b")
    behind_a_narrow_path(sandbox, here, there)
    made = [Node(host, start(host)) for host in (here, there)]
    for node in made:
        node.daemon.says("Subnet added: ")
        mtu = node.host.subnet_env.partition("FLANNEL_MTU=")[2].split()[0]
        node.pod = node.host.pod()
        node.inside.run("ip", "link", "set", "eth0", "mtu", mtu)
    made[0].inside.reaches(made[1].inside.address, made[0].inside.address)
    selects(made[0].inside, made[1].inside)


# Interfaces


@pytest.mark.parametrize("kind", ["udp", "vxlan"])
def test_an_interface_that_goes_down_and_up_again_carries_again(sandbox, kind):
    configure(sandbox, kind)
    here, there = nodes(sandbox)
    flow = Flow.begin(here.inside, there.inside.address)
    leases = sandbox.leases()
    here.host.run("ip", "link", "set", "eth0", "down")
    flow.stands_still()
    here.says_ready("200", "degraded", timeout=15)
    here.host.run("ip", "link", "set", "eth0", "up")
    flow.goes_on()
    ready(here, there)
    assert sandbox.leases() == leases
