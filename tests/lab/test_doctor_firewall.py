"""What `lab doctor` says of packet filters."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lab.doctor.model import Diagnosis, Severity
from lab.doctor.registry import diagnose
from lab.packet_filter import Ruleset
from lab.spec import tutorial
from lab.spec.node import Docker
from tests.lab.doctor_cases import LOOKS, ONE, SAVED, case, found, items_of
from tests.lab.examples import observation
from tests.lab.rulesets import (
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
)

SUBNET = "10.2.35"


def minion_with(*items: Mapping[str, Any], saved: str = SAVED) -> dict[str, Diagnosis]:
    """What is found where one minion's rules are these besides the ordinary ones."""
    return found(case(one={"rules": rules_of([*items_of(SUBNET), *items], iptables=saved)}))


def instead(of: str, by: Mapping[str, Any]) -> Ruleset:
    """The ordinary rules with one chain in another form."""
    items = [
        {"chain": {**item["chain"], **by}} if item.get("chain", {}).get("name") == of else item
        for item in items_of(SUBNET)
    ]
    return rules_of(items, iptables=SAVED)


def test_a_policy_that_drops_is_worth_knowing_while_flannels_rules_accept() -> None:
    one = found(case(one={"rules": instead("FORWARD", {"policy": "drop"})}))
    assert set(one) == {"firewall.forward-policy"}
    assert one["firewall.forward-policy"].severity is Severity.NOTE
    assert one["firewall.forward-policy"].evidence == ("ip filter FORWARD: policy drop",)
    fix = f"lab exec {ONE} -- iptables -t filter -P FORWARD ACCEPT"
    assert one["firewall.forward-policy"].fix == (fix,)


def test_of_a_docker_whose_rules_are_gone_that_is_worth_knowing() -> None:
    """As after `iptables -F`: flannel makes its own again, and Docker does not."""
    items = [item for item in items_of(SUBNET) if item.get("rule", {}).get("chain") != "FORWARD"]
    told = case(one={"rules": rules_of(items, iptables=SAVED)})
    gone = found(told)["firewall.docker"]
    assert (gone.subject, gone.severity) == (ONE, Severity.NOTE)
    assert gone.fix == (f"lab exec {ONE} -- systemctl restart docker",)
    stopped = {"docker": replace(LOOKS[ONE].units["docker"], active="inactive")}
    looks = {"rules": rules_of(items, iptables=SAVED), "units": {**LOOKS[ONE].units, **stopped}}
    assert "firewall.docker" not in found(case(one=looks))


def test_a_policy_that_drops_is_to_be_mended_where_no_rule_accepts() -> None:
    """As Docker 1.13 with a flannel 0.5.5, which makes no rules."""
    items = [item for item in items_of(SUBNET) if item.get("rule", {}).get("chain") != "FLANNEL-FWD"]
    items = [
        {"chain": {**it["chain"], "policy": "drop"}} if it.get("chain", {}).get("name") == "FORWARD" else it
        for it in items
    ]
    one = found(case(one={"rules": rules_of(items, iptables=SAVED)}))
    assert set(one) == {"firewall.forward"}
    assert one["firewall.forward"].evidence == ("ip filter FORWARD: policy drop",)


def test_a_rule_of_nftables_that_drops_everything_is_named_with_the_command_that_deletes_it() -> None:
    mine: dict[str, Any] = {"table": "mine", "family": "inet"}
    one = minion_with(
        chain("late", "forward", **mine, prio=50), rule("late", COUNTER, DROP, **mine, handle=7)
    )
    assert set(one) == {"firewall.forward"}
    assert one["firewall.forward"].evidence == ("inet mine late, handle 7: drop (4 packets)",)
    assert one["firewall.forward"].fix == (f"lab exec {ONE} -- nft delete rule inet mine late handle 7",)


def test_a_rule_and_the_policy_behind_it_that_both_drop_are_named_together() -> None:
    mine: dict[str, Any] = {"table": "mine", "family": "inet"}
    one = minion_with(chain("late", "forward", **mine, policy="drop"), rule("late", DROP, **mine, handle=7))
    words = ("inet mine late, handle 7: drop", "inet mine late: policy drop")
    assert one["firewall.forward"].evidence == words
    assert len(one["firewall.forward"].fix) == 2


def test_a_base_chain_of_nftables_with_a_policy_of_its_own_is_named_with_its_cure() -> None:
    mine: dict[str, Any] = {"table": "mine", "family": "inet"}
    one = minion_with(chain("forward", "forward", **mine, policy="drop"))
    fix = f"lab exec {ONE} -- nft add chain inet mine forward '{{ policy accept; }}'"
    assert one["firewall.forward"].fix == (fix,)


@pytest.mark.parametrize(
    "harmless",
    [
        rule("FORWARD", match(field("ip", "saddr"), net("172.16.0.0/12")), DROP, handle=30),
        rule("FORWARD", match(field("ip", "saddr"), "@strangers"), DROP, handle=30),
        rule("FORWARD", match(field("ip6", "saddr"), net("2001:db8::/32")), DROP, handle=30),
        rule("FORWARD", match(meta("iifname"), "tun*"), DROP, handle=30),
        rule("FORWARD", match(field("udp", "dport"), 53), DROP, handle=30),
        rule("FORWARD", {"xt": {"type": "match", "name": "limit"}}, DROP, handle=30),
        rule("FORWARD", match({"ct": {"key": "state"}}, ["invalid"], "in"), DROP, handle=30),
        rule("FORWARD", match(field("ip", "saddr"), net("10.2.0.0/16"), "!="), DROP, handle=30),
        rule("DOCKER", {"return": None}, handle=30),
    ],
)
def test_a_rule_that_is_about_others_or_that_nobody_here_can_read_is_not_blamed(
    harmless: dict[str, Any],
) -> None:
    items = items_of(SUBNET)
    assert diagnose(case(one={"rules": rules_of([*items[:5], harmless, *items[5:]], iptables=SAVED)})) == []


def test_a_rule_that_drops_flannels_packets_or_etcds_answers_is_named() -> None:
    mine: dict[str, Any] = {"table": "mine", "family": "inet"}
    one = minion_with(
        chain("in", "input", **mine),
        rule("in", match(field("ip", "saddr"), "192.168.199.53"), DROP, **mine, handle=3),
        rule("in", match(field("tcp", "sport"), 2379), DROP, **mine, handle=4),
    )
    assert set(one) == {"firewall.underlay"}
    every = diagnose(
        case(
            one={
                "rules": rules_of(
                    [
                        *items_of(SUBNET),
                        chain("in", "input", **mine),
                        rule("in", match(field("ip", "saddr"), "192.168.199.53"), DROP, **mine, handle=3),
                        rule("in", match(field("tcp", "sport"), 2379), DROP, **mine, handle=4),
                    ],
                    iptables=SAVED,
                )
            }
        )
    )
    assert [item.what for item in every] == [
        "flannel's packets from centos-minion02 are dropped",
        "etcd's answers from centos-master are dropped",
    ]


def test_a_chain_of_another_device_drops_nothing_of_the_underlays() -> None:
    mine: dict[str, Any] = {"table": "mine", "family": "netdev"}
    for device, identifiers in (("eth0", {"firewall.underlay"}), ("docker0", set())):
        items = [chain("in", "ingress", **mine, dev=device), rule("in", COUNTER, DROP, **mine, handle=7)]
        one = minion_with(*items)
        assert set(one) == identifiers
        for item in one.values():
            assert item.evidence == ("netdev mine in, handle 7: drop (4 packets)",)
            assert item.fix == (f"lab exec {ONE} -- nft delete rule netdev mine in handle 7",)


def test_a_set_is_read_and_what_is_in_it_is_blamed() -> None:
    asked = match(field("ip", "saddr"), "@strangers")
    mine: dict[str, Any] = {"table": "mine", "family": "ip"}
    for member, identifiers in ((net("10.2.0.0/16"), {"firewall.forward"}), ("192.0.2.1", set())):
        items = [
            chain("f", "forward", **mine),
            elements("strangers", member, **mine),
            rule("f", asked, DROP, **mine),
        ]
        assert set(minion_with(*items)) == identifiers


def test_a_rule_that_drops_the_message_that_a_packet_is_too_big_is_named_once_for_all_hooks() -> None:
    mine: dict[str, Any] = {"table": "mine", "family": "inet"}
    too_big = [
        match(field("icmp", "type"), "destination-unreachable"),
        match(field("icmp", "code"), "frag-needed"),
    ]
    items = [
        item
        for hook in ("input", "forward", "output")
        for item in (chain(hook, hook, **mine), rule(hook, *too_big, COUNTER, DROP, **mine))
    ]
    one = minion_with(*items)
    assert set(one) == {"firewall.packet-too-big"}
    assert [line.split(",")[0] for line in one["firewall.packet-too-big"].evidence] == [
        "inet mine input",
        "inet mine forward",
        "inet mine output",
    ]
    assert len(one["firewall.packet-too-big"].fix) == 3


def test_other_messages_of_icmp_may_be_dropped() -> None:
    assert (
        minion_with(chain("in", "input"), rule("in", match(field("icmp", "type"), "echo-request"), DROP))
        == {}
    )


def without_masquerading() -> Ruleset:
    items = [item for item in items_of(SUBNET) if item.get("rule", {}).get("table") != "nat"]
    return rules_of(items, iptables=SAVED)


def test_masquerading_that_is_gone_is_named_with_whose_it_was() -> None:
    one = found(case(one={"rules": without_masquerading()}))
    assert set(one) == {"firewall.masquerade"}
    assert one["firewall.masquerade"].what.startswith("Docker's masquerading is gone")
    assert one["firewall.masquerade"].fix == (f"lab exec {ONE} -- systemctl restart docker",)


def test_flannels_own_masquerading_in_a_chain_of_its_own_is_found() -> None:
    items = [item for item in items_of(SUBNET) if item.get("rule", {}).get("table") != "nat"]
    own = [
        chain("FLANNEL-POSTRTG", table="nat"),
        rule("POSTROUTING", {"jump": {"target": "FLANNEL-POSTRTG"}}, table="nat"),
        rule("FLANNEL-POSTRTG", match(field("ip", "saddr"), net("10.2.0.0/16")), MASQUERADE, table="nat"),
    ]
    assert found(case(one={"rules": rules_of([*items, *own], iptables=SAVED)})) == {}


def test_nothing_is_said_of_masquerading_where_the_lab_file_has_switched_it_off_or_nobody_can_see() -> None:
    spec = tutorial()
    nodes = tuple(
        node.model_copy(update={"docker": Docker(options=("--iptables=false",))}) for node in spec.nodes
    )
    seen = replace(observation(), spec=spec.model_copy(update={"nodes": nodes}))
    assert diagnose(case(seen, one={"rules": without_masquerading()})) == []
    assert diagnose(case(one={"rules": without_masquerading(), "legacy": True})) == []
    assert diagnose(case(one={"rules": None})) == []
    assert LOOKS[ONE].rules is not None
