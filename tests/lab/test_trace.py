"""A trace names what is wrong, where, and what mends it; and says nothing where nothing is."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address, ip_interface, ip_network

import pytest

from lab.trace.evidence import Gap
from lab.trace.machine import Filter, Holder, Listener, Neighbour, Qdisc
from lab.trace.model import Point, Reason
from lab.trace.verdict import Trace
from lab.trace.world import End, Lease
from tests.lab.rulesets import COUNTER, DROP, MASQUERADE, chain, rule, rules_of, xt
from tests.lab.trace_world import BACKENDS, ONE, OUTSIDE, SUBNETS, TWO, World, world

every_backend = pytest.mark.parametrize("backend", BACKENDS)


def named(found: Trace) -> list[tuple[Reason, str]]:
    return [(item.fault.reason, item.place) for item in found.diagnoses]


def nothing_after(machine: str, device: str, way: str) -> Callable[[str, Point, int], bool]:
    """Probes that do not get past a place, on the way there."""
    passed: set[int] = set()

    def stops(leg: str, point: Point, number: int) -> bool:
        if leg == "there" and number in passed:
            return True
        if (point.machine, point.device, point.way) == (machine, device, way) and not point.namespace:
            passed.add(number)
        return False

    return stops


@every_backend
def test_where_nothing_is_wrong_nothing_is_named(backend):
    found = world(backend).trace(sizes=[84] * 20 + [1450] * 4)
    assert found.ok
    assert found.notes == ()
    ends = [hop.action.value for hop in (found.there.hops[-1], found.back.hops[-1])]
    assert ends == ["delivered", "delivered"]


@every_backend
def test_the_way_passes_what_flannels_documents_say(backend):
    there, back = world(backend).walk()
    devices = [(point.machine, point.device, point.way) for point in there.points]
    tunnel = {"udp": "flannel0", "vxlan": "flannel.1", "host-gw": ""}[backend]
    assert (ONE, "eth0", "out") in devices
    assert (TWO, "eth0", "in") in devices
    assert ((ONE, tunnel, "out") in devices) == bool(tunnel)
    assert ((TWO, tunnel, "in") in devices) == bool(tunnel)
    assert [point.machine for point in back.points][:1] == [TWO]
    told = " ".join(hop.told for hop in there.hops)
    words = {
        "udp": f"udp to {OUTSIDE[TWO]}:8285",
        "vxlan": f"VNI 1 to {OUTSIDE[TWO]}:8472",
        "host-gw": "eth0",
    }
    assert words[backend] in told


def forwarding_off(it: World) -> None:
    here = it.machines[TWO].own
    it.change(TWO, settings=dict.fromkeys(here.settings, 0))


def dropped(it: World) -> None:
    mine = {"table": "t", "family": "inet"}
    items = [chain("f", "forward", **mine), rule("f", COUNTER, DROP, **mine, handle=2)]
    it.change(TWO, ruleset=rules_of(items))


def policy(it: World) -> None:
    it.change(TWO, ruleset=rules_of([chain("FORWARD", "forward", policy="drop")]))


def down(it: World) -> None:
    it.change_link(TWO, "eth0", up=False)


def bridge_down(it: World) -> None:
    it.change_link(TWO, "docker0", up=False)


def other_bridge(it: World) -> None:
    it.change_link(TWO, "docker0", addresses=(ip_interface("192.0.2.1/24"),))
    it.routes[TWO, ""] = [it for it in it.routes[TWO, ""] if it[1] != "docker0"]


def no_way(it: World) -> None:
    it.routes[ONE, ""] = [it for it in it.routes[ONE, ""] if it[1] != "eth0"]


def other_mac(it: World) -> None:
    own = it.machines[ONE].own.neighbours
    it.change(ONE, neighbours=[replace(own[0], mac="02:00:5e:00:53:01"), *own[1:]])


def unresolved(it: World) -> None:
    own = it.machines[ONE].own.neighbours
    it.change(ONE, neighbours=[Neighbour("eth0", OUTSIDE[TWO], "", "FAILED"), *own[1:]])


def redirected(it: World) -> None:
    it.change(ONE, filters=(Filter("eth0", "egress", 100, "all", "matchall", (), "", "drop"),))


@every_backend
@pytest.mark.parametrize(
    ("breaks", "past", "reason", "place", "fix"),
    [
        (forwarding_off, (TWO, "eth0", "in"), Reason.NOT_FORWARDING, TWO, "sysctl -w net.ipv4.ip_forward=1"),
        (dropped, (TWO, "eth0", "in"), Reason.FW_RULE, TWO, "nft delete rule inet t f handle 2"),
        (policy, (TWO, "eth0", "in"), Reason.FW_RULE, TWO, "iptables -t filter -P FORWARD ACCEPT"),
        (down, (ONE, "eth0", "out"), Reason.LINK_DOWN, TWO, "ip link set dev eth0 up"),
        (bridge_down, (TWO, "eth0", "in"), Reason.LINK_DOWN, TWO, "ip link set dev docker0 up"),
        (other_bridge, (TWO, "eth0", "in"), Reason.WRONG_ROUTE, TWO, "systemctl restart docker"),
        (no_way, (ONE, "docker0", "in"), Reason.NO_ROUTE, ONE, "ip route"),
        (other_mac, (ONE, "eth0", "out"), Reason.ARP_FAIL, ONE, "ip neighbour flush"),
        (unresolved, (ONE, "docker0", "in"), Reason.ARP_FAIL, ONE, "ip neighbour show"),
        (redirected, (ONE, "docker0", "in"), Reason.TRAFFIC_CONTROL, ONE, "tc filter show dev eth0 egress"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_packets_do_not_get_past_is_named_first(backend, breaks, past, reason, place, fix):
    it = world(backend)
    breaks(it)
    if backend == "vxlan" and past == (ONE, "docker0", "in"):
        past = ONE, "flannel.1", "out"  # where the inner packet is seen last, before its datagram is sent
    found = it.trace(nothing_after(*past))
    assert not found.delivered
    first = found.diagnoses[0]
    assert (first.fault.reason, first.place) == (reason, place)
    assert first.seen
    assert first.fault.fix.startswith(f"lab exec {place} -- ")
    if (backend, reason) != ("host-gw", Reason.NO_ROUTE):  # there flanneld's own route goes with the device's
        assert fix in first.fault.fix
    assert first.evidence.startswith("0 of 20 packets")


def test_a_missing_neighbour_or_fdb_entry_of_vxlan_is_named():
    it = world("vxlan")
    it.change(ONE, fdb=())
    assert named(it.trace(nothing_after(ONE, "flannel.1", "out")))[0] == (Reason.FDB_MISS, ONE)
    it = world("vxlan")
    it.change(ONE, neighbours=it.machines[ONE].own.neighbours[:2])
    assert named(it.trace(nothing_after(ONE, "docker0", "in")))[0] == (Reason.ARP_FAIL, ONE)


@pytest.mark.parametrize(("holder", "kills"), [(None, True), (Holder(33, "flanneld", "T"), False)])
def test_udps_daemon_that_is_gone_or_stands_still_is_named(holder, kills):
    it = world("udp")
    it.machines[ONE] = replace(it.machines[ONE], holders={"flannel0": holder} if holder else {})
    found = it.trace(nothing_after(ONE, "flannel0", "out"))
    assert named(found)[0] == (Reason.NO_DAEMON, ONE)
    assert found.diagnoses[0].fault.kills is kills


def test_udps_port_is_the_configurations():
    it = world("udp")
    it.overlay = replace(it.overlay, port=9999)
    assert named(it.trace(nothing_after(TWO, "eth0", "in")))[0] == (Reason.NO_LISTENER, TWO)
    for machine in (ONE, TWO):
        it.change(machine, listeners=(Listener("udp", OUTSIDE[machine], 9999),))
    assert it.trace().ok


def test_a_lease_that_is_missing_or_names_another_machine_is_named():
    it = world("udp")
    it.overlay = replace(it.overlay, leases=it.overlay.leases[:1])
    assert (Reason.NO_LEASE, ONE) in named(it.trace(nothing_after(ONE, "flannel0", "out")))
    it = world("udp")
    wrong = Lease(ip_network(f"{SUBNETS[TWO]}.0/24"), ip_address("192.168.50.99"))
    it.overlay = replace(it.overlay, leases=(it.overlay.leases[0], wrong))
    assert (Reason.WRONG_ADDRESS, ONE) in named(it.trace(nothing_after(ONE, "eth0", "out")))


def test_a_peer_that_sends_from_another_address_than_its_lease_names_is_told():
    it = world("udp")
    it.change_link(ONE, "eth0", addresses=(ip_interface("192.168.50.254/24"),))
    assert (Reason.SOURCE_CHECK, TWO) in named(it.trace(nothing_after(TWO, "eth0", "in")))


@every_backend
def test_a_smaller_device_is_named_only_for_packets_that_do_not_fit(backend):
    it = world(backend)
    it.change_link(TWO, "docker0", mtu=1400)
    assert it.trace().ok
    large = 1450

    def stops(leg: str, point: Point, number: int) -> bool:
        return leg == "there" and number >= 20 and (point.machine, point.device) == (TWO, "docker0")

    found = it.trace(stops, sizes=[84] * 20 + [large] * 4)
    assert named(found) == [(Reason.MTU, TWO)]
    assert not found.diagnoses[0].fault.kills
    assert found.diagnoses[0].evidence.startswith("20 of 24 packets")


def test_a_queueing_discipline_that_does_more_than_queue_is_named_and_an_ordinary_one_is_not():
    it = world("vxlan")
    for kind in ("fq_codel", "cake", "fq_pie"):  # any may be net.core.default_qdisc
        it.change(ONE, qdiscs=(Qdisc("eth0", kind, {}),))
        assert it.trace().ok
    it.change(ONE, qdiscs=(Qdisc("eth0", "tbf", {"rate": 2500000}),))
    found = it.trace()
    assert named(found) == [(Reason.TRAFFIC_CONTROL, ONE)]
    assert "tbf (rate 2500000)" in found.diagnoses[0].fault.found


def test_an_xdp_program_before_everything_is_named():
    it = world("vxlan")
    it.change_link(TWO, "eth0", xdp="drops")
    assert named(it.trace()) == [(Reason.TRAFFIC_CONTROL, TWO)]


def test_what_is_lost_where_no_table_says_why_is_lost_there():
    found = world("vxlan").trace(nothing_after(TWO, "eth0", "in"))
    assert named(found) == [(Reason.LOST, TWO)]
    assert "no table that was read says why" in found.diagnoses[0].fault.because


def test_a_few_that_are_lost_are_told_with_their_place():
    def stops(leg: str, point: Point, number: int) -> bool:
        return leg == "back" and number in (3, 7) and (point.machine, point.device) == (ONE, "eth0")

    found = world("vxlan").trace(stops)
    (only,) = found.diagnoses
    assert (only.fault.reason, only.leg) == (Reason.LOST, "back")
    assert only.evidence.startswith("18 of 20 packets")


@every_backend
def test_two_faults_are_both_named_in_the_order_of_the_way(backend):
    it = world(backend)
    redirected(it)
    forwarding_off(it)
    last = "flannel.1" if backend == "vxlan" else "docker0"
    found = it.trace(nothing_after(ONE, last, "out" if backend == "vxlan" else "in"))
    assert named(found)[:2] == [(Reason.TRAFFIC_CONTROL, ONE), (Reason.NOT_FORWARDING, TWO)]
    assert [item.seen for item in found.diagnoses[:2]] == [True, False]


def test_what_only_some_suffer_from_is_named_in_the_order_of_the_way_though_chance_may_not_show_the_first():
    it = world("vxlan")
    it.change(ONE, qdiscs=(Qdisc("eth0", "netem", {"loss-random": {"loss": 0.1}}),))
    it.change_link(TWO, "docker0", mtu=1400)

    def stops(leg: str, point: Point, number: int) -> bool:
        return leg == "there" and number >= 20 and (point.machine, point.device) == (TWO, "docker0")

    found = it.trace(stops, sizes=[84] * 20 + [1450] * 4)
    assert named(found) == [(Reason.TRAFFIC_CONTROL, ONE), (Reason.MTU, TWO)]
    assert [item.seen for item in found.diagnoses] == [False, True]


def test_what_state_forbids_and_probes_do_all_the_same_is_told():
    it = world("host-gw")
    dropped(it)
    assert any("by state nothing gets past" in note for note in it.trace().notes)


def test_all_that_drops_is_named_and_the_way_goes_on_without_it():
    it = world("vxlan")
    items = [
        chain("FORWARD", "forward", policy="drop"),
        chain("MINE"),
        rule("FORWARD", {"jump": {"target": "MINE"}}),
        rule("MINE", DROP, handle=8),
        chain("POSTROUTING", "postrouting", table="nat", type="nat"),
        rule("POSTROUTING", MASQUERADE, table="nat"),
    ]
    it.change(ONE, ruleset=rules_of(items))
    found = it.trace(nothing_after(ONE, "docker0", "in"))
    fixes = ["nft delete rule ip filter MINE handle 8", "iptables -t filter -P FORWARD ACCEPT"]
    assert [item.fault.fix for item in found.diagnoses] == [f"lab exec {ONE} -- {fix}" for fix in fixes]
    assert all(item.seen for item in found.diagnoses)
    assert any(hop.told.startswith("MASQUERADE: from 10.2.1.2") for hop in found.there.hops)


def test_a_rule_of_which_nobody_can_tell_whether_it_applies_is_named_where_packets_are_lost():
    it = world("vxlan")
    items = [chain("f", "forward"), rule("f", xt("limit"), DROP)]
    it.change(TWO, ruleset=rules_of(items))
    assert it.trace().ok
    found = it.trace(nothing_after(TWO, "flannel.1", "in"))
    assert named(found) == [(Reason.LOST, TWO)]
    assert "perhaps of limit drop" in found.diagnoses[0].fault.because


def test_ipv6_is_forwarded_by_the_setting_of_all_devices_whatever_the_route():
    it = world("host-gw")
    for machine, other in ((ONE, "2001:db8:2"), (TWO, "2001:db8:1")):
        own = "2001:db8:1" if machine == ONE else "2001:db8:2"
        pod = it.machines[machine].namespaces[it.start.namespace if machine == ONE else it.end.namespace]
        it.change_link(machine, "eth0", pod.name, addresses=(ip_interface(f"{own}::2/64"),))
        it.change_link(machine, "docker0", addresses=(ip_interface(f"{own}::1/64"),))
        it.change_link(machine, "eth0", addresses=(ip_interface(f"2001:db8::{machine[-1]}/64"),))
        it.change(machine, settings={"ipv6/conf/all/forwarding": int(machine == ONE)}, neighbours=())
        peer = f"2001:db8::{2 if machine == ONE else 1}"
        it.routes[machine, ""] = [(f"{own}::/64", "docker0", ""), (f"{other}::/64", "eth0", peer)]
        it.routes[machine, pod.name] = [(f"{own}::/64", "eth0", ""), ("::/0", "eth0", f"{own}::1")]
    it.start = replace(it.start, address=ip_address("2001:db8:1::2"))
    it.end = replace(it.end, address=ip_address("2001:db8:2::2"))
    there, _ = it.walk()
    assert [(hop.machine, fault.reason) for hop, fault in there.faults()] == [(TWO, Reason.NOT_FORWARDING)]


def test_of_two_tunnels_with_one_number_each_takes_what_its_own_version_of_ip_carries():
    for first in (4, 0):  # one without an address of its own takes both
        it = world("vxlan")
        own = it.machines[TWO].own.links
        tunnel = replace(own["flannel.1"], carried=first)
        # The other one was made first.
        links = {
            "flannel-v6.1": replace(tunnel, index=6, name="flannel-v6.1", carried=6),
            **own,
            "flannel.1": tunnel,
        }
        it.change(TWO, links=links)
        outer = next(hop for hop in it.walk()[0].hops if hop.component.value == "decapsulation")
        assert outer.told.startswith("flannel.1, from ")


def test_what_passes_from_some_moment_on_has_been_mended():
    def gap(lost: set[int]) -> Gap:
        return Gap(None, None, frozenset(range(20)), frozenset(lost), ())

    assert gap({0, 1, 2, 3}).is_mended
    assert not gap({0, 1, 2, 9}).is_mended
    assert not gap({0}).is_mended  # of one nobody can tell
    assert not gap({16, 17, 18, 19}).is_mended
    assert not gap(set(range(20))).is_mended
    assert not gap(set()).is_mended


@pytest.mark.parametrize("backend", ["udp", "host-gw"])
def test_a_machine_that_says_nothing_is_named_where_packets_would_go_to_it(backend):
    it = world(backend)
    del it.machines[TWO]
    it.overlay = replace(it.overlay, silent={OUTSIDE[TWO]: TWO})
    there, _ = it.walk()
    (_, fault) = list(there.faults())[-1]
    assert fault.reason is Reason.SILENT_MACHINE
    assert TWO in fault.fix


def test_nobody_listens():
    it = world("vxlan")
    assert it.trace(protocol="tcp", port=3306).ok
    (only,) = it.trace(protocol="tcp", port=3307).diagnoses
    assert only.fault.reason is Reason.NO_LISTENER
    assert "3306" in only.fault.found
    assert only.place == f"{TWO}/db"


def test_an_end_outside_of_the_lab_has_no_way_back():
    it = world("vxlan")
    it.end = End("8.8.8.8", "", "", ip_address("8.8.8.8"))
    there, back = it.walk()
    assert back.steps == ()
    assert [fault.reason for _, fault in there.faults()] == [Reason.NO_ROUTE]
    assert "ip route" in next(fault for _, fault in there.faults()).fix


def test_two_pods_behind_one_bridge_reach_each_other_without_their_machine():
    it = world("vxlan")
    other = it.machines[ONE].namespaces["web"].links["eth0"]
    second = replace(
        other, index=8, peer=6, mac="02:44:00:00:00:09", addresses=(ip_interface("10.2.1.3/24"),)
    )
    port = replace(it.machines[ONE].own.links["veth1"], index=6, name="veth2", peer=8)
    own = it.machines[ONE].own
    it.change(ONE, links={**own.links, "veth2": port})
    pod = replace(it.machines[ONE].namespaces["web"], name="app", links={"eth0": second})
    it.machines[ONE] = replace(it.machines[ONE], namespaces={**it.machines[ONE].namespaces, "app": pod})
    it.routes[ONE, "app"] = it.routes[ONE, "web"]
    it.end = End("pod app", ONE, "app", ip_address("10.2.1.3"))
    found = it.trace()
    assert found.ok
    assert [(point.namespace, point.device) for point in found.there.points] == [
        ("web", "eth0"), ("", "veth1"), ("", "veth2"), ("app", "eth0"),
    ]  # fmt: skip


def test_an_address_that_nobody_behind_the_bridge_has_is_told():
    it = world("vxlan")
    it.end = replace(it.end, address=ip_address("10.2.2.77"), namespace="")
    found = it.trace(nothing_after(TWO, "flannel.1", "in"))
    assert named(found)[0] == (Reason.ARP_FAIL, TWO)
