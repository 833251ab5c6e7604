"""What is said of rules from what the kernel has: texts as ip(8) and tc(8) of iproute2 6.15 print them."""

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from lab.faults.impairment import Impairment, Rule, Standing, Status, parse_impairment, parse_match
from lab.faults.impairment.evidence import expected_program, missing, strays, unwanted
from lab.faults.impairment.pipeline import Interface, Pipeline
from lab.faults.impairment.plan import Stage, Way, plan
from lab.faults.impairment.seen import Held, Link, Seen, Signature, parse_filters, parse_links, parse_qdiscs

LINKS = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"link_type":"loopback",
"address":"00:00:00:00:00:00"},{"ifindex":3,"link_index":2,"ifname":"eth0","flags":["BROADCAST","MULTICAST",
"UP","LOWER_UP"],"mtu":1500,"xdp":{"mode":2,"prog":{"id":98,"name":"imp_0123abcd","tag":"a6cf83f8af2128a7",
"jited":1},"attached":[{"mode":2,"prog":{"id":98,"name":"imp_0123abcd","tag":"a6cf83f8af2128a7","jited":1}}]},
"qdisc":"noqueue","address":"02:00:00:00:00:01"},{"ifindex":4,"ifname":"tun0","flags":["POINTOPOINT"],
"link_type":"none","xdp":{"mode":1,"prog":{"id":5}}}]"""

QDISCS = """[{"kind":"noqueue","handle":"0:","dev":"eth0","root":true,"refcnt":2,"options":{}},{"kind":
"clsact","handle":"ffff:","dev":"eth0","parent":"ffff:fff1","options":{}},{"kind":"tbf","handle":"8001:","dev":"a",
"root":true,"refcnt":3,"options":{"rate":2500000}},{"kind":"pfifo","handle":"2:","dev":"a",
"parent":"8001:1"}]"""

FILTERS = """[{"protocol":"all","pref":40,"kind":"u32","chain":0},{"protocol":"all","pref":40,"kind":"u32",
"chain":0,"options":{"fh":"800:","ht_divisor":1}},{"protocol":"all","pref":40,"kind":"u32","chain":0,"options":
{"fh":"800::800","order":2048,"key_ht":"800","bkt":"0","flowid":"1:1","not_in_hw":true,"match":{"value":"0",
"mask":"0","offmask":"","off":0},"input_dev":"imp40o-line"}},{"protocol":"ip","pref":24100,"kind":"u32",
"chain":0},{"protocol":"ip","pref":24100,"kind":"u32","chain":0,"options":{"fh":"801:","ht_divisor":1}},
{"protocol":"ip","pref":24100,"kind":"u32","chain":0,"options":{"fh":"801::800","order":2048,"key_ht":"801",
"bkt":"0","not_in_hw":true,"match":{"value":"0","mask":"0","offmask":"","off":0},"actions":[{"order":1,
"kind":"mirred","mirred_action":"redirect","direction":"egress","to_dev":"imp40o-line","control_action":{"type":
"stolen"},"index":6,"ref":1,"bind":1}]}},{"protocol":"ip","pref":49152,"kind":"bpf","chain":0,"options":
{"handle":"0x1","bpf_name":"theirs"}}]"""


def test_devices_are_read_with_the_names_of_their_programs():
    assert parse_links(LINKS) == {
        "lo": Link(1, "00:00:00:00:00:00", True, ""),
        "eth0": Link(3, "02:00:00:00:00:01", True, "imp_0123abcd"),
        "tun0": Link(4, "", False, "?"),
    }


def test_root_qdiscs_and_clsact_are_read():
    assert parse_qdiscs(QDISCS) == {"eth0": {"noqueue", "clsact"}, "a": {"tbf"}}


def test_filters_are_read_with_where_they_lead():
    assert list(parse_filters("eth0", "egress", FILTERS)) == [
        Signature("eth0", "egress", 40, "all", "pass imp40o-line"),
        Signature("eth0", "egress", 24100, "ip", "egress imp40o-line"),
        Signature("eth0", "egress", 49152, "ip", "?"),
    ]


INTERFACES = {"eth0": Interface("eth0", 3, "02:00:00:00:00:01")}


def stage(text: str, slot: int, direction: str = "both") -> Stage:
    return Stage(Rule(f"r{slot}", parse_impairment(text), parse_match(direction=direction)), slot, Way.LINE)


def planned(*stages: Stage) -> Pipeline:
    return plan(stages, INTERFACES)


def kernel(whole: Pipeline) -> Seen:
    """One that has all of it."""
    of_eth0 = "02:00:00:00:00:01"
    links = {name: Link(10 + place, of_eth0, True, "") for place, name in enumerate(sorted(whole.links))}
    links["eth0"] = Link(3, of_eth0, True, "")
    filters = {Signature(it.device, it.hook, it.preference, it.protocol, it.target) for it in whole.filters}
    seen = Seen(
        links,
        {pair.name: frozenset({pair.qdisc.partition(" ")[0]}) for pair in whole.pairs},
        frozenset(filters),
        {tap.name: Held(100 + place, "S") for place, tap in enumerate(sorted(whole.taps, key=str))},
    )
    for xdp in whole.xdp:
        links["eth0"] = replace(links["eth0"], xdp=expected_program(xdp, seen))
    return seen


def without(seen: Seen, *names: str) -> Seen:
    links = {name: link for name, link in seen.links.items() if name not in names}
    held = {name: held for name, held in seen.held.items() if name not in names}
    return replace(seen, links=links, held=held)


ALL = planned(stage("delay 9ms", 40), stage("rate 1mbit", 41, "out"), stage("cut", 1))


def test_nothing_is_missing_where_all_is_there():
    assert missing(ALL, ALL, kernel(ALL)) == ()
    assert strays(ALL, kernel(ALL)) == []


def link_of(seen: Seen, name: str, **change: object) -> Seen:
    links: Mapping[str, Link] = {**seen.links, name: replace(seen.links[name], **change)}  # type: ignore[arg-type]
    return replace(seen, links=links)


WHOLE = kernel(ALL)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (without(WHOLE, "imp40o-line"), "the delay line imp40o-line has ended: what matches is lost"),
        (
            replace(WHOLE, held={**WHOLE.held, "imp40i-line": Held(77, "T")}),
            "the delay line imp40i-line (process 77) is stopped: what matches waits",
        ),
        (link_of(WHOLE, "imp40o-line", up=False), "the device imp40o-line is down: what matches is lost"),
        (without(WHOLE, "imp41o-tbf"), "the device imp41o-tbf is gone"),
        (
            link_of(WHOLE, "imp-in3-x", address="02:00:00:00:00:99"),
            "imp-in3-x has not the impaired device's address, which has changed: what comes in is lost",
        ),
        (
            link_of(WHOLE, "imp40i-line", address="02:00:00:00:00:99"),
            "imp40i-line has not the impaired device's address, which has changed: what comes in is lost",
        ),
        (replace(WHOLE, qdiscs={}), "the device imp41o-tbf has no tbf"),
        (link_of(WHOLE, "imp-hole", up=False), "the device imp-hole is down"),
        (replace(WHOLE, filters=frozenset()), "eth0 has lost its filters at egress"),
        (link_of(WHOLE, "eth0", xdp=""), "eth0 has lost its XDP program, or has another one (none)"),
        (link_of(WHOLE, "eth0", xdp="theirs"), "eth0 has lost its XDP program, or has another one (theirs)"),
        (without(WHOLE, "eth0"), "the device eth0 is gone"),
    ],
)
def test_what_is_missing_is_told(seen, words):
    assert words in missing(ALL, ALL, seen)


def test_the_far_end_of_the_hole_is_meant_to_be_down():
    assert missing(ALL, ALL, link_of(WHOLE, "imp-hole-x", up=False)) == ()


def misled(seen: Seen) -> frozenset[Signature]:
    """The filters, where the device that one leads to is gone."""
    gone = "egress imp40o-line"
    return frozenset(it._replace(target="egress *") if it.target == gone else it for it in seen.filters)


def test_a_filter_that_leads_elsewhere_is_none():
    seen = replace(WHOLE, filters=misled(WHOLE))
    assert missing(ALL, ALL, seen) == ("imp-out3-x has lost its filters at ingress",)


def test_what_belongs_to_no_rule_is_told():
    assert set(strays(Pipeline(), WHOLE)) == {
        f"the XDP program {WHOLE.links['eth0'].xdp} on eth0",
        *(f"the device {name}" for name in sorted(ALL.links)),
        "filters on eth0 at egress",
    }


def test_only_what_is_ours_and_no_longer_wanted_is_removed():
    theirs = Signature("eth0", "ingress", 49152, "ip", "?")
    after = planned(stage("rate 1mbit", 41, "out"), stage("cut", 1))
    found = unwanted(ALL, after, replace(WHOLE, filters=misled(WHOLE) | {theirs}))
    stay = {"eth0", *after.links}
    gone = {(it.device, it.hook, it.preference) for it in (ALL - after).filters if it.device in stay}
    assert {(it.device, it.hook, it.preference) for it in found} == gone
    assert theirs not in found


def test_a_status_survives_json():
    rule = Rule("x", Impairment(cut=True))
    status = Status((Standing(rule, "line", ("the device imp-hole is gone",)),), ("the device imp-in3",))
    assert Status.from_document(json.loads(json.dumps(status.as_document()))) == status
    assert not status.rules[0].in_force
    assert Standing(rule, "line").in_force
