"""A packet filter is walked as the kernel walks it, and nothing is guessed."""

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from lab.packet_filter import Drop, Facts, Outcome, Ruleset, drops, evaluate, parse_ruleset
from lab.trace.packet import Packet
from tests.lab.rulesets import (
    ACCEPT,
    COUNTER,
    DROP,
    MASQUERADE,
    chain,
    elements,
    field,
    match,
    meta,
    net,
    rule,
    rules_of,
    xt,
)

OWN = frozenset({ip_address("10.2.1.1")})
PING = Packet(ip_address("10.2.1.2"), ip_address("10.2.2.2"), "icmp", 84)
FORWARDED = PING.facts("docker0", "flannel0", OWN)
"""A packet of which everything is known."""
ANSWER = PING.answer().facts("flannel0", "docker0", OWN)
DATAGRAM = Facts(
    family=4, protocol="udp", port=8285, source=ip_address("192.168.199.53"), into="eth0"
)  # fmt: skip
"""One of which something is: not where to, and nothing of its connection."""

MINE: dict[str, Any] = {"table": "t", "family": "inet"}
STATE = {"ct": {"key": "state"}}
UNKNOWN = match({"numgen": {"mode": "random", "mod": 2}}, 0)
"""What nobody but the kernel can tell."""


def ruleset(*rules: list[dict[str, Any]], **more: Any) -> Ruleset:
    """One base chain of `inet t`, named f, at the hook forward."""
    items = [rule("f", *expressions, **MINE, handle=number) for number, expressions in enumerate(rules, 1)]
    words = ["table inet t { # handle 9", "\tchain f { # handle 9"]
    words += [f"\t\trule {number} # handle {number}" for number in range(1, len(rules) + 1)]
    return rules_of([chain("f", **{"hook": "forward", **MINE, **more}), *items], words="\n".join(words))


def forwarded(rules: Ruleset, facts: Facts = FORWARDED) -> Outcome:
    return evaluate(rules, "forward", facts)


def texts(found: tuple[Drop, ...]) -> list[str]:
    return [drop.text for drop in found]


def fib(end: str, *more: str) -> dict[str, Any]:
    return {"fib": {"result": "type", "flags": [end, *more]}}


@pytest.mark.parametrize(
    "conditions",
    [
        [],
        [match(field("ip", "saddr"), "10.2.1.2")],
        [match(field("ip", "daddr"), net("10.2.0.0/16"))],
        [match(field("ip", "saddr"), "10.9.9.9", "!=")],
        [match(field("ip", "saddr"), {"set": ["10.2.1.1", "10.2.1.2"]})],
        [match(field("ip", "saddr"), {"range": ["10.2.1.0", "10.2.1.9"]})],
        [match(field("ip", "saddr"), {"set": [{"elem": {"val": "10.2.1.2", "timeout": 9}}]})],
        [match(field("ip", "protocol"), "icmp")],
        [match(meta("iifname"), "docker0")],
        [match(meta("oifname"), "flannel*")],
        [match(meta("l4proto"), "icmp")],
        [match(meta("protocol"), "ip")],
        [match(STATE, {"set": ["new", "invalid"]}, "in")],
        [match(STATE, ["established", "related"], "!=")],
        [match(field("icmp", "type"), "echo-request")],
        [match(fib("saddr"), "unicast")],
        [match({"concat": [meta("iifname"), field("ip", "daddr")]}, {"set": [
            {"concat": ["docker0", net("10.2.2.0/24")]}]})],
        [xt("comment")],
        [{"counter": {"packets": 7, "bytes": 7}}],
        [{"counter": "named"}, {"log": None}],
        ["notrack"],
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_that_matches_drops(conditions: list[Any]) -> None:
    found = forwarded(ruleset([*conditions, DROP]))
    assert found.drop is not None
    assert (found.drop.text, found.drop.chain.title) == ("rule 1", "inet t f")


@pytest.mark.parametrize(
    "conditions",
    [
        [match(field("ip", "saddr"), "10.2.1.2", "!=")],
        [match(field("ip", "daddr"), net("10.3.0.0/16"))],
        [match(field("ip6", "daddr"), "fd00::1", "!=")],
        [match(field("tcp", "dport"), 3306)],
        [match(field("tcp", "dport"), 3306, "!=")],
        [match(meta("iifname"), "eth0")],
        [match(STATE, "established")],
        [match(meta("nfproto"), "ipv6")],
        [match(fib("daddr"), "local")],
        [match({"concat": [meta("iifname"), field("ip", "daddr")]}, {"set": [
            {"concat": ["eth0", net("10.2.2.0/24")]}]})],
        [match(meta("iifname"), "eth0"), UNKNOWN],
    ],
    ids=str,
)  # fmt: skip
def test_a_rule_that_does_not_match_lets_pass(conditions: list[Any]) -> None:
    assert forwarded(ruleset([*conditions, DROP])) == Outcome()


@pytest.mark.parametrize(
    "conditions",
    [
        [UNKNOWN],
        [match(field("ip", "saddr"), "@strangers")],
        [match(field("ip", "ttl"), 1)],
        [match(field("ether", "saddr"), "02:00:00:00:00:01")],
        [match(meta("mark"), 7)],
        [match({"ct": {"key": "mark"}}, 7)],
        [match({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False)],
        [match({"&": [meta("l4proto"), 1]}, 1)],
        [{"limit": {"rate": 10, "per": "second", "inv": True}}],
        [{"quota": {"val": 1, "val_unit": "mbytes", "inv": True}}],
        [{"set": {"op": "update", "elem": field("ip", "saddr"), "set": "@s", "stmt": [{"limit": {}}]}}],
        [xt("limit")],
        [xt("conntrack")],  # these words do not say which state
    ],
    ids=str,
)
def test_what_cannot_be_told_is_no_match_and_is_named(conditions: list[Any]) -> None:
    found = forwarded(ruleset([*conditions, DROP]))
    assert found.passes
    assert texts(found.perhaps) == ["rule 1"]


@pytest.mark.parametrize(
    ("left", "right", "op", "dropped"),
    [
        (field("udp", "dport"), 8285, "==", True),
        (field("udp", "dport"), 8000, ">", True),
        (field("udp", "dport"), 8285, "<", False),
        (field("udp", "dport"), {"range": [8000, 9000]}, "==", True),
        (field("udp", "dport"), {"range": [9000, 9999]}, "==", False),
        (field("udp", "dport"), {"set": [53, 8285]}, "==", True),
        (field("udp", "dport"), {"set": [53, 123]}, "==", False),
        (field("udp", "sport"), 53, "==", None),
        (field("tcp", "dport"), 8285, "==", False),
        (field("th", "dport"), 8285, "==", True),
        (meta("l4proto"), "udp", "==", True),
        (meta("l4proto"), 6, "!=", True),
        (meta("l4proto"), 17, "==", True),
        (meta("nfproto"), "ipv4", "==", True),
        (meta("iif"), "eth0", "!=", False),
        (meta("oifname"), "eth0", "==", None),
        (field("ip", "saddr"), {"set": [net("192.168.199.0/24")]}, "==", True),
        (field("ip", "daddr"), "192.168.199.53", "!=", None),
        (STATE, ["invalid"], "in", None),
        (fib("saddr"), "local", "==", None),
        ({"fib": {"result": "oif"}}, False, "==", None),
    ],
)
def test_of_a_partly_known_packet_what_is_not_known_stays_so(
    left: Any, right: Any, op: str, dropped: bool | None
) -> None:
    rules = rules_of([chain("in", "input"), rule("in", match(left, right, op), DROP)])
    found = evaluate(rules, "input", DATAGRAM)
    assert (found.passes, bool(found.perhaps)) == (dropped is not True, dropped is None)


def test_a_named_set_has_the_elements_that_are_listed_with_it() -> None:
    items = [chain("f", "forward"), rule("f", match(field("ip", "saddr"), "@friends", "!="), DROP)]
    for members, passes in ((("10.2.1.2",), True), ((net("10.2.0.0/16"),), True), ((), False)):
        assert forwarded(rules_of([*items, elements("friends", *members)])).passes is passes
    elsewhere = elements("friends", "10.2.1.2", table="other")
    assert forwarded(rules_of([*items, elsewhere])).perhaps


def test_a_policy_drops_what_no_rule_accepts_and_a_later_chain_what_an_earlier_one_accepts() -> None:
    found = forwarded(ruleset(policy="drop")).drop
    assert found is not None
    assert (found.text, found.rule) == ("policy drop", None)
    accepted = ruleset([ACCEPT], policy="drop")
    assert forwarded(accepted).passes
    later = replace(accepted, chains=(*ruleset([DROP], prio=10).chains, *accepted.chains))
    assert texts(drops(later, "forward", FORWARDED)) == ["rule 1"]


def test_chains_are_passed_by_their_priority() -> None:
    items = [
        chain("late", "forward", prio=10, policy="drop"),
        chain("early", "forward", prio=-300, policy="drop"),
    ]
    found = drops(rules_of(items), "forward", FORWARDED)
    assert [drop.chain.name for drop in found] == ["early", "late"]


def test_a_jump_comes_back_and_another_hook_is_not_asked() -> None:
    items = [
        chain("f", "forward"),
        chain("g"),
        rule("f", {"jump": {"target": "g"}}, handle=1),
        rule("f", DROP, handle=2),
        rule("g", match(field("ip", "saddr"), net("10.2.0.0/16")), {"return": None}, handle=3),
        rule("g", ACCEPT, handle=4),
    ]
    found = forwarded(rules_of(items)).drop
    assert found is not None
    assert found.rule is not None
    assert found.rule.handle == 2  # what returns goes on behind the jump
    assert forwarded(ruleset([DROP], hook="input")).passes


def test_jumps_returns_and_chains_that_lead_in_a_circle_are_followed() -> None:
    items = [
        chain("in", "input"),
        chain("a"),
        chain("b"),
        rule("in", {"jump": {"target": "a"}}, handle=1),
        rule("in", {"goto": {"target": "b"}}, handle=2),
        rule("in", DROP, handle=3),
        rule("a", {"return": None}, handle=4),
        rule("a", DROP, handle=5),
        rule("b", {"jump": {"target": "b"}}, handle=6),
        rule("b", {"reject": None}, handle=7),
    ]
    (drop,) = drops(rules_of(items), "input", Facts(family=4))[:1]
    assert drop.rule is not None
    assert drop.rule.handle == 7


def test_what_a_goto_leads_to_ends_the_chain_that_it_is_in() -> None:
    items = [
        chain("f", "forward"),
        chain("g"),
        rule("f", {"goto": {"target": "g"}}, handle=1),
        rule("f", DROP, handle=2),
    ]
    assert forwarded(rules_of(items)) == Outcome()


def test_a_rule_is_deleted_where_it_is_though_another_chain_has_led_to_it() -> None:
    items = [
        chain("FORWARD", "forward"),
        chain("MINE"),
        rule("FORWARD", {"jump": {"target": "MINE"}}, handle=3),
        rule("MINE", COUNTER, DROP, handle=8),
    ]
    found = forwarded(rules_of(items)).drop
    assert found is not None
    assert found.words == "ip filter MINE, handle 8: drop"
    assert found.fix == ("nft", "delete", "rule", "ip", "filter", "MINE", "handle", "8")
    assert found.rule is not None
    assert found.rule.packets == 4


@pytest.mark.parametrize(
    ("items", "fix"),
    [
        (chain("FORWARD", "forward", policy="drop"), "iptables -t filter -P FORWARD ACCEPT"),
        (
            chain("FORWARD", "forward", policy="drop", family="ip6"),
            "ip6tables -t filter -P FORWARD ACCEPT",
        ),
        (chain("f", "forward", policy="drop", **MINE), "nft add chain inet t f { policy accept; }"),
        (
            chain("FORWARD", "forward", policy="drop", table="own"),
            "nft add chain ip own FORWARD { policy accept; }",
        ),
    ],
)
def test_a_policy_is_set_by_the_program_whose_chain_it_is(items: dict[str, Any], fix: str) -> None:
    family = 6 if items["chain"]["family"] == "ip6" else 4
    found = evaluate(rules_of([items]), "forward", Facts(family=family)).drop
    assert found is not None
    assert " ".join(found.fix) == fix


def test_everything_that_drops_a_packet_is_named_and_nothing_that_only_may() -> None:
    items = [
        chain("f", "forward", **MINE, policy="drop"),
        rule("f", UNKNOWN, DROP, **MINE, handle=1),
        rule("f", DROP, **MINE, handle=2),
        rule("f", {"reject": None}, **MINE, handle=3),
    ]
    found = drops(rules_of(items), "forward", FORWARDED)
    assert [drop.rule.handle if drop.rule else drop.text for drop in found] == [2, 3, "policy drop"]


@pytest.mark.parametrize(
    "may_accept",
    [
        [rule("FORWARD", match(field("ip", "saddr"), "@friends"), ACCEPT)],
        [rule("FORWARD", UNKNOWN, {"queue": {"num": 0}})],
        [rule("FORWARD", {"queue": {"num": 0}})],
        [rule("FORWARD", xt("NFQUEUE", "target"))],
        [rule("FORWARD", {"vmap": {"key": field("ip", "saddr"), "data": "@verdicts"}})],
        [rule("FORWARD", UNKNOWN, {"jump": {"target": "G"}}), chain("G"), rule("G", ACCEPT)],
        [
            rule("FORWARD", {"jump": {"target": "G"}}),
            chain("G"),
            rule("G", UNKNOWN, {"return": None}),
            rule("G", DROP),
            rule("FORWARD", ACCEPT),
        ],
    ],
)
def test_a_packet_that_an_unread_rule_may_have_accepted_is_not_said_to_be_dropped(
    may_accept: list[dict[str, Any]],
) -> None:
    rules = rules_of([chain("FORWARD", "forward", policy="drop"), *may_accept])
    found = evaluate(rules, "forward", Facts(family=4, source=ip_address("10.2.35.2")))
    assert found.passes
    assert found.perhaps


def test_what_no_unread_rule_can_save_is_dropped() -> None:
    items = [
        chain("FORWARD", "forward", policy="drop"),
        chain("G"),
        rule("FORWARD", UNKNOWN, {"jump": {"target": "G"}}),
        rule("G", {"return": None}),
        chain("late", "forward", prio=10, policy="drop"),
    ]
    assert texts(drops(rules_of(items), "forward", FORWARDED)) == ["policy drop", "policy drop"]
    saved = [*items, rule("FORWARD", UNKNOWN, ACCEPT)]
    found = drops(rules_of(saved), "forward", FORWARDED)
    assert [drop.chain.name for drop in found] == ["late"]


@pytest.mark.parametrize(
    ("verdicts", "passes"),
    [
        ([["established", ACCEPT], ["new", DROP]], False),
        ([["*", DROP], ["new", ACCEPT]], True),
        ([["*", DROP], ["established", ACCEPT]], False),
        ([["new", {"jump": {"target": "G"}}]], False),
        ([["new", {"continue": None}]], True),
        ([["invalid", DROP]], True),
    ],
)
def test_a_map_of_verdicts_is_read(verdicts: list[Any], passes: bool) -> None:
    named = {"map": {"family": "ip", "table": "filter", "name": "verdicts", "elem": verdicts}}
    for data, more in (({"set": verdicts}, []), ("@verdicts", [named])):
        asked = rule("FORWARD", {"vmap": {"key": STATE, "data": data}})
        items = [chain("FORWARD", "forward"), chain("G"), rule("G", DROP), asked, *more]
        found = forwarded(rules_of(items))
        assert (found.passes, found.perhaps) == (passes, ())


def test_answers_are_established_and_are_not_translated_anew() -> None:
    first = ruleset([{"masquerade": None}], hook="postrouting", type="nat", prio=100)
    found = evaluate(first, "postrouting", FORWARDED)
    assert found.masquerades is not None
    assert found.masquerades.text == "rule 1"
    assert evaluate(first, "postrouting", ANSWER) == Outcome()
    unsure = evaluate(first, "postrouting", replace(FORWARDED, state=None))
    assert (unsure.masquerades, unsure.may_be_masqueraded) == (None, True)
    rules = ruleset([match(STATE, ["established", "related"], "in"), ACCEPT], policy="drop")
    assert forwarded(rules, ANSWER).passes


def test_masquerading_of_some_of_what_a_pod_sends_is_known_without_its_destination() -> None:
    items = [
        chain("POSTROUTING", "postrouting", table="nat", type="nat"),
        rule(
            "POSTROUTING",
            match(field("ip", "saddr"), net("10.2.35.0/24")),
            match(meta("oifname"), "docker0", "!="),
            MASQUERADE,
            table="nat",
        ),
    ]
    for source, found in (("10.2.35.2", True), ("10.2.36.2", False)):
        facts = Facts(family=4, state="new", source=ip_address(source))
        assert evaluate(rules_of(items), "postrouting", facts).may_be_masqueraded is found


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        ({"dnat": {"addr": "10.2.2.9", "port": 80}}, {}),
        (
            xt("DNAT", "target"),
            {"iptables": "*nat\n-A PREROUTING -p tcp -j DNAT --to-destination 10.2.2.9:80\nCOMMIT\n"},
        ),
        (
            xt("DNAT", "target"),
            {"words": "table ip nat {\n\t\tcounter packets 1 bytes 60 dnat to 10.2.2.9:80 # handle 9"},
        ),
    ],
)
def test_the_new_destination_is_told_where_a_rule_names_it(
    expression: dict[str, Any], printed: dict[str, str]
) -> None:
    items = [
        chain("PREROUTING", "prerouting", table="nat", type="nat"),
        rule("PREROUTING", expression, table="nat"),
    ]
    found = evaluate(rules_of(items, **printed), "prerouting", FORWARDED)
    assert found.rewrites is not None
    assert found.target == "10.2.2.9"
    assert evaluate(rules_of(items, **printed), "prerouting", ANSWER) == Outcome()


def test_a_vxlan_datagram_is_judged_by_its_vni() -> None:
    outer = Packet(ip_address("192.0.2.1"), ip_address("192.0.2.2"), "udp", 134, 8472, inner=PING, vni=7)
    facts = outer.facts("", "eth0", OWN)
    vni = {"payload": {"base": "th", "offset": 96, "len": 24}}
    for value, passes in ((7, False), (8, True)):
        assert forwarded(ruleset([match(vni, value), DROP]), facts).passes is passes
    assert forwarded(ruleset([match(vni, 7), DROP]), DATAGRAM).perhaps


@pytest.mark.parametrize(
    ("family", "sees"),
    [("ip", "4"), ("ip6", "6"), ("inet", "46"), ("netdev", "46"), ("bridge", ""), ("arp", "")],
)
def test_a_family_of_tables_sees_its_packets(family: str, sees: str) -> None:
    items = [chain("f", "ingress", family=family, policy="drop", dev="eth0")]
    for version in (4, 6):
        found = evaluate(rules_of(items), "ingress", Facts(family=version, into="eth0"))
        assert found.passes is (str(version) not in sees)


@pytest.mark.parametrize("devices", ["eth0", ["eth0", "eth1"], "eth*"])
def test_a_chain_of_a_device_sees_what_passes_that_device(devices: Any) -> None:
    items = [
        chain("in", "ingress", family="netdev", policy="drop", dev=devices),
        chain("out", "egress", family="netdev", policy="drop", dev=devices),
    ]
    for hook, way in (("ingress", "into"), ("egress", "out")):
        for device, passes in (("eth0", False), ("docker0", True), (None, False)):
            facts = replace(Facts(family=4, into="docker0", out="docker0"), **{way: device})  # type: ignore[arg-type]
            assert evaluate(rules_of(items), hook, facts).passes is passes


CONNTRACK = [
    ("RELATED,ESTABLISHED", "", False),
    ("NEW,ESTABLISHED", "", True),
    ("NEW", "! ", False),
    ("RELATED,ESTABLISHED", "! ", True),
]


@pytest.mark.parametrize(("states", "inverted", "accepts"), CONNTRACK)
def test_what_iptables_says_of_conntrack_decides_what_json_does_not_show(
    states: str, inverted: str, accepts: bool
) -> None:
    items = [
        chain("FORWARD", "forward", policy="drop"),
        rule("FORWARD", xt("conntrack"), COUNTER, ACCEPT),
    ]
    saved = f"*filter\n-A FORWARD -m conntrack {inverted}--ctstate {states} -j ACCEPT\nCOMMIT\n"
    sign = "!= " if inverted else ""
    told = f"ct state {sign}{states.lower()} counter packets 4 bytes 288 accept"
    words = f"table ip filter {{\n\t\t{told} # handle 9"
    packet = Facts(family=4, state="new")
    for printed in ({"iptables": saved}, {"words": words}):
        assert forwarded(rules_of(items, **printed), packet).passes is accepts
        assert not drops(rules_of(items, **printed), "forward", Facts(family=4))
    assert forwarded(rules_of(items), packet).perhaps


@pytest.mark.parametrize(
    ("saved", "words", "passes"),
    [
        ("-m addrtype --dst-type LOCAL", "fib daddr type local", True),
        ("-m addrtype ! --dst-type LOCAL", "fib daddr type != local", False),
        ("-m addrtype --src-type UNICAST", "fib saddr type unicast", False),
    ],
)
def test_types_of_addresses_are_read_from_the_words_of_either(saved: str, words: str, passes: bool) -> None:
    items = [chain("FORWARD", "forward"), rule("FORWARD", xt("addrtype"), COUNTER, DROP)]
    for printed in (
        {"iptables": f"*filter\n-A FORWARD {saved} -j DROP\nCOMMIT\n"},
        {"words": f"table ip filter {{\n\t\t{words} counter packets 4 bytes 288 drop # handle 9"},
    ):
        assert forwarded(rules_of(items, **printed)).passes is passes
        assert forwarded(rules_of(items, **printed), Facts(family=4)).perhaps


@pytest.mark.parametrize(
    "line",
    [
        "-m conntrack --ctstate NEW --ctorigsrc 10.0.0.1/32",
        "-m conntrack --ctstate NEW,SNAT",
        "-m conntrack --ctstatus SEEN_REPLY",
        '-m comment --comment "it\'s --ctstate NEW" -m conntrack --ctexpire 9',
    ],
)
def test_an_option_that_is_not_known_here_is_not_guessed(line: str) -> None:
    state = "established" if "SNAT" in line else "new"
    items = [chain("FORWARD", "forward"), rule("FORWARD", xt("conntrack"), COUNTER, DROP)]
    rules = rules_of(items, iptables=f"*filter\n-A FORWARD {line} -j DROP\nCOMMIT\n")
    found = forwarded(rules, Facts(family=4, state=state))
    assert (found.passes, len(found.perhaps)) == (True, 1)


def test_a_rule_of_iptables_is_shown_as_iptables_save_writes_it_and_another_as_nft_does() -> None:
    items = [
        chain("FORWARD", "forward"),
        rule("FORWARD", match(field("ip", "saddr"), net("10.2.0.0/16")), COUNTER, DROP, handle=8),
    ]
    saved = "*filter\n-A FORWARD -s 10.2.0.0/16 -j DROP\nCOMMIT\n"
    words = "table ip filter {\n\t\tip saddr 10.2.0.0/16 counter packets 4 bytes 288 drop # handle 8"
    place = "ip filter FORWARD, handle 8: "
    for printed, text in (
        ({"iptables": saved, "words": words}, "-A FORWARD -s 10.2.0.0/16 -j DROP"),
        (
            {"iptables": saved + saved, "words": words},
            "ip saddr 10.2.0.0/16 drop",
        ),  # it has changed meanwhile
        ({"ip6tables": saved}, "ip saddr 10.2.0.0/16 drop"),
    ):
        found = forwarded(rules_of(items, **printed)).drop
        assert found is not None
        assert found.words == f"{place}{text}"


def test_a_machine_without_rules_drops_nothing_and_rules_that_nobody_can_read_are_an_error() -> None:
    assert parse_ruleset({"nft": ""}) == Ruleset()
    with pytest.raises(ValueError, match="cannot be read"):
        parse_ruleset({"nft": '{"nftables": [{"chain": {}}]}'})


def test_a_comment_of_a_rule_may_have_what_python_takes_for_the_end_of_a_line() -> None:
    items = [
        chain("FORWARD", "forward", policy="accept"),
        rule("FORWARD", xt("comment"), xt("conntrack"), COUNTER, DROP),
    ]
    saved = '*filter\n-A FORWARD -m comment --comment "a\u2028b" -m conntrack --ctstate NEW -j DROP\nCOMMIT\n'
    (found,) = drops(rules_of(items, iptables=saved), "forward", Facts(family=4, state="new"))
    assert '"a\u2028b" -m conntrack' in found.words
