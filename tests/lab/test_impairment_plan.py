"""Which way a packet takes through the devices and filters of a plan, whatever rules are in force."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import Unfit
from lab.faults.impairment import Direction, Match, Rule, parse_impairment, parse_match
from lab.faults.impairment.pipeline import HOLE, Filter, Interface, Pipeline, is_ours
from lab.faults.impairment.plan import OTHERS, Stage, Way, free_slot, plan
from lab.faults.impairment.selector import Selector
from tests.lab.impairment_packets import PACKETS, Packet, frame, is_meant
from tests.lab.test_impairment_selector import u32

ETH0 = Interface("eth0", 3, "02:42:c0:a8:c7:34")
PROTOCOLS = {"ip": 0x0800, "ipv6": 0x86DD}


def stages(*rules: tuple[str, Match], way: Way = Way.LINE) -> list[Stage]:
    found: list[Stage] = []
    for text, match in rules:
        impairment = parse_impairment(text)
        slot = free_slot(impairment, [stage.slot for stage in found])
        found.append(Stage(Rule(f"r{len(found)}", impairment, match), slot, way))
    return found


def planned(made: Sequence[Stage]) -> Pipeline:
    return plan(made, {"eth0": ETH0})


def matches(item: Filter, packet: Packet, came_from: str) -> bool:
    if item.target.startswith("pass ") and item.target != f"pass {came_from}":
        return False
    if item.protocol == "all":
        return True
    return u32(Selector(PROTOCOLS[item.protocol], item.keys), frame(packet))


def way(whole: Pipeline, packet: Packet, *, outgoing: bool) -> tuple[list[str], str]:
    """The devices that a packet passes, and where it ends: `sent`, `received` or `lost`."""
    passed: list[str] = []
    device, hook, came_from = "eth0", "egress", ""
    if not outgoing:
        (xdp,) = whole.xdp
        if any(u32(selector, frame(packet)) for selector in xdp.drop):
            return passed, "lost"
        if not any(u32(selector, frame(packet)) for selector in xdp.take):
            return passed, "received"
        passed.append(xdp.to)
        device, hook = f"{xdp.to}-x", "ingress"
    for _ in range(100):
        there = sorted(
            (it for it in whole.filters if (it.device, it.hook) == (device, hook)),
            key=lambda it: it.preference,
        )
        found = next((it for it in there if matches(it, packet, came_from)), None)
        if found is None or found.target.startswith("pass "):
            assert device == "eth0", f"a packet is left on {device}"
            return passed, "sent"
        where, to = found.target.split(" ")
        if to == HOLE:
            return passed, "lost"
        if to == "eth0":
            if where == "ingress":
                return passed, "received"  # generic XDP does not see it again (skb->redirected)
            device, hook, came_from = "eth0", "egress", device
            continue
        assert where == "egress"
        passed.append(to)
        device, hook = to if to in {tap.name for tap in whole.taps} else f"{to}-x", "ingress"
    raise AssertionError(f"{packet} goes round in a circle: {passed}")


TEXTS = ["delay 100ms", "loss 5%", "rate 20mbit", "rate 1mbit delay 5ms", "cut"]
RULES = st.lists(
    st.tuples(
        st.sampled_from(TEXTS),
        st.builds(
            parse_match,
            st.sampled_from([(), ("192.168.199.52",), ("192.168.199.52", "fd00::52"), ("10.2.0.0/16",)]),
            st.sampled_from(["", "udp"]),
            st.sampled_from([0, 8285]),
            st.sampled_from(list(Direction)),
        ),
    ),
    min_size=1,
    max_size=5,
)


def goes(match: Match, outgoing: bool) -> bool:
    return match.direction in (Direction.BOTH, Direction.OUT if outgoing else Direction.IN)


@given(RULES, st.sampled_from(PACKETS), st.booleans(), st.sampled_from(list(Way)))
def test_a_packet_passes_what_it_matches_once_and_in_order_and_nothing_else(rules, packet, outgoing, how):
    made = stages(*rules, way=how)
    whole = planned(made)
    concerned = [stage for stage in made if goes(stage.rule.match, outgoing)]
    if not outgoing and not concerned:
        assert not whole.xdp
        return
    meant = [stage for stage in concerned if is_meant(stage.rule.match, packet, outgoing=outgoing)]
    passed, end = way(whole, packet, outgoing=outgoing)
    if any(stage.rule.impairment.cut for stage in meant):
        # What goes out leaves its device first, or the sender would be told.
        assert (passed, end) == (["imp-out3"] if outgoing else [], "lost")
        return
    assert end == ("sent" if outgoing else "received")
    expected = []
    for stage in sorted(meant, key=lambda stage: stage.slot):
        kinds = ["tbf"] if stage.rule.impairment.rate else []
        kinds += ["seg"] if how is Way.NETEM and stage.rule.impairment.loss else []
        kinds += [how.value] if stage.rule.impairment.without_rate() else []
        expected += [f"imp{stage.slot}{'o' if outgoing else 'i'}-{kind}" for kind in kinds]
    junction = f"imp-{'out' if outgoing else 'in'}3"
    assert passed == ([junction, *expected] if expected else [])


@given(RULES, st.data())
def test_a_rule_that_goes_takes_all_of_its_own_and_nothing_of_the_others(rules, data):
    made = stages(*rules)
    gone = data.draw(st.sampled_from(made))
    rest = [stage for stage in made if stage is not gone]
    before, after = planned(made), planned(rest)
    assert after - before == Pipeline(xdp=(after - before).xdp), "only programs are made anew"
    for item in (before - after).filters:
        shared = item.device.startswith(("imp-in", "imp-out")) or item.target == "pass imp-out3-x"
        assert item.slot == gone.slot or item.device.startswith(f"imp{gone.slot}") or shared


@given(RULES, st.sampled_from(list(Way)))
def test_what_is_made_has_names_that_the_kernel_takes_and_that_are_known_as_ours(rules, how):
    whole = planned(stages(*rules, way=how))
    for name in whole.links:
        assert len(name) < 16  # IFNAMSIZ of linux/if.h
        assert is_ours(name)
    places = [(item.device, item.hook, item.preference) for item in whole.filters]
    assert len(places) == len(set(places)), "one filter a preference"
    assert all(0 < item.preference < 65536 for item in whole.filters)  # 16 bits of TC_H_MAJ


@pytest.mark.parametrize(
    "name", ["eth0", "docker0", "flannel.1", "lo", "veth1234", "impeth", "imp-tun", "imp40o-lines"]
)
def test_a_machines_own_devices_are_not_ours(name):
    assert not is_ours(name)


def test_a_slot_that_became_free_is_taken_when_there_is_none_behind():
    impairment = parse_impairment("loss 5%")
    assert free_slot(impairment, [40, 42]) == 43
    assert free_slot(impairment, set(OTHERS) - {57}) == 57
    with pytest.raises(Unfit, match="60 impairments of this kind are in force"):
        free_slot(impairment, OTHERS)


def test_more_peers_than_there_is_room_for_are_refused():
    peers = [f"10.0.{number // 256}.{number % 256}" for number in range(601)]
    with pytest.raises(Unfit, match="there is room for 600") as refused:
        planned(stages(("cut", parse_match(peers))))
    assert "network" in refused.value.hint


def test_commands_are_those_of_tc():
    whole = planned(stages(("rate 20mbit", parse_match(["192.168.199.52"], "udp", 8285, "out"))))
    assert {pair.qdisc for pair in whole.pairs} == {"", "tbf rate 20mbit burst 25000b latency 50ms"}
    udp_8285 = (
        "u32 match u32 0xc0a8c734 0xffffffff at 16 match u32 0x110000 0xff0000 at 8 "
        "match u32 0x5000000 0xf000000 at 0 match u32 0x0 0x1fff at 4 "
    )
    to, back = "action mirred egress redirect dev", "protocol all u32 match u32 0x0 0x0 at 0"
    source, destination = "match u32 0x205d0000 0xffff0000 at 20", "match u32 0x205d 0xffff at 20"
    assert sorted(item.command() for item in whole.filters) == [
        f"filter add dev eth0 egress pref 100 {back} indev imp-out3-x flowid 1:1",
        f"filter add dev eth0 egress pref 24100 protocol ip {udp_8285}{source} {to} imp-out3",
        f"filter add dev eth0 egress pref 24101 protocol ip {udp_8285}{destination} {to} imp-out3",
        f"filter add dev eth0 egress pref 40 {back} indev imp40o-tbf-x flowid 1:1",
        f"filter add dev imp-out3-x ingress pref 24100 protocol ip {udp_8285}{source} {to} imp40o-tbf",
        f"filter add dev imp-out3-x ingress pref 24101 protocol ip {udp_8285}{destination} {to} imp40o-tbf",
        f"filter add dev imp-out3-x ingress pref 65000 {back} {to} eth0",
        f"filter add dev imp40o-tbf-x ingress pref 65000 {back} {to} eth0",
    ]


def test_netem_is_told_in_its_own_words():
    made = stages(("delay 100ms jitter 10ms loss 5% rate 1mbit", parse_match(direction="out")), way=Way.NETEM)
    assert sorted(pair.qdisc for pair in planned(made).pairs if pair.qdisc) == [
        "netem limit 100000 delay 100ms 10ms loss 5%",  # tc-netem(8): delay TIME [ JITTER ]
        "tbf rate 1mbit burst 3028b latency 50ms",
    ]
    assert not planned(made).taps


def test_a_burst_of_tbf_holds_a_full_packet_at_any_rate():
    made = stages(("rate 8kbit", parse_match(direction="out")))
    ((kind, _, _, _, burst, *_),) = [pair.qdisc.split() for pair in planned(made).pairs if pair.qdisc]
    assert kind == "tbf"
    assert int(burst.removesuffix("b")) >= 1514


@pytest.mark.parametrize(
    ("text", "one_by_one"),
    [
        ("delay 100ms jitter 1ms", False),
        ("loss 1%", True),
        ("duplicate 1%", True),
        ("delay 1ms reorder 1%", True),
        ("delay 1ms corrupt 1%", True),
    ],
)
def test_packets_are_counted_one_by_one_where_something_befalls_each(text, one_by_one):
    rule = (text, parse_match(direction="out"))
    (tap,) = planned(stages(rule)).taps
    assert tap.offloads != one_by_one
    by_netem = planned(stages(rule, way=Way.NETEM))
    assert [pair.name for pair in by_netem.pairs if pair.segments] == ["imp40o-seg"] * one_by_one


def test_two_devices_have_their_rules_side_by_side():
    one, two = stages(("delay 1ms", parse_match()), ("delay 2ms", parse_match()))
    other = replace(two, rule=replace(two.rule, device="eth1"))
    eth1 = Interface("eth1", 4, "02:42:c0:a8:c8:34")
    whole = plan([one, other], {"eth0": ETH0, "eth1": eth1})
    assert whole == plan([one], {"eth0": ETH0}) | plan([other], {"eth1": eth1})
