"""What a person writes of impairments: words of tc-netem(8), read and written again."""

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import Unfit
from lab.faults.impairment import Direction, Impairment, Match, Rule, parse_impairment, parse_match


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("delay 100ms", Impairment(delay=0.1)),
        ("delay 1.5s jitter 250us", Impairment(delay=1.5, jitter=0.00025)),
        ("loss 5%", Impairment(loss=0.05)),
        ("loss 0.1% duplicate 2%", Impairment(loss=0.001, duplicate=0.02)),
        ("reorder 25% delay 10MS", Impairment(delay=0.01, reorder=0.25)),
        ("corrupt 1%", Impairment(corrupt=0.01)),
        # tc(8), UNITS: the prefixes of bits are SI's.
        ("rate 20mbit", Impairment(rate=20_000_000)),
        ("rate 512kbit", Impairment(rate=512_000)),
        ("cut", Impairment(cut=True)),
    ],
)
def test_the_words_of_netem_are_read(text, meant):
    assert parse_impairment(text) == meant


SHARES = st.integers(1, 1000).map(lambda number: f"{number / 10:g}%")
PARTS = st.fixed_dictionaries(
    {"delay": st.integers(1, 59_999).map(lambda number: f"{number}ms")},
    optional={
        "loss": SHARES,
        "duplicate": SHARES,
        "reorder": SHARES,
        "corrupt": SHARES,
        "rate": st.integers(8, 10**8).map(lambda number: f"{number}kbit"),
    },
)


@given(PARTS)
def test_what_is_written_is_read_as_the_same(parts):
    text = " ".join(f"{name} {value}" for name, value in parts.items())
    meant = parse_impairment(text)
    assert str(parse_impairment(str(meant))) == str(meant)
    assert sorted(str(meant).split()[::2]) == sorted(parts)


@pytest.mark.parametrize(
    ("text", "wrong", "hint"),
    [
        ("", "it does nothing", "delay"),
        ("delay", "'' is not a time", "100ms"),
        ("delay 100", "'100' is not a time", "100ms"),
        ("delay -1ms", "'-1ms' is not a time", "100ms"),
        ("latency 1ms", "there is no impairment 'latency'", "delay"),
        ("loss 0.05", "'0.05' is not a percentage", "5%"),
        ("loss 120%", "more than all packets", "100%"),
        ("rate 20", "'20' is not a rate", "20mbit"),
        ("rate 1kbit", "the rate is too low", "8kbit"),
        ("delay 1ms delay 2ms", "delay is there twice", "second"),
        ("delay 1ms jitter 2ms", "before it was sent", "at least the jitter"),
        ("jitter 2ms", "before it was sent", "delay"),
        ("reorder 5%", "nothing to overtake", "delay"),
        ("delay 2s jitter 61s", "too much memory", "60s"),
        ("cut loss 5%", "there is no impairment 'cut'", "alone"),
    ],
)
def test_what_makes_no_sense_is_refused_with_advice(text, wrong, hint):
    with pytest.raises(Unfit) as refused:
        parse_impairment(text)
    assert wrong in refused.value.message
    assert hint in refused.value.hint


def test_a_cut_goes_with_nothing_else():
    with pytest.raises(Unfit, match="cannot be impaired as well"):
        Impairment(cut=True, loss=0.5)


def test_peers_are_addresses_and_networks_of_both_families():
    match = parse_match(["192.168.199.52", "10.2.35.0/24", "fd00::52"], "UDP", "8285", "out")
    assert match.peers == (
        IPv4Network("192.168.199.52/32"),
        IPv4Network("10.2.35.0/24"),
        IPv6Network("fd00::52/128"),
    )
    assert (match.protocol, match.port, match.direction) == ("udp", 8285, Direction.OUT)


@pytest.mark.parametrize(
    ("match", "words"),
    [
        (parse_match(), "packets to and from everybody"),
        (parse_match(["192.168.199.52"], direction="out"), "packets to 192.168.199.52"),
        (parse_match(["fd00::/64"], "icmp", direction="in"), "icmp from fd00::/64"),
        (parse_match(port=2379), "tcp and udp port 2379 to and from everybody"),
    ],
)
def test_a_match_is_told_in_words(match, words):
    assert str(match) == words


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"peers": ["centos-minion01"]}, "'centos-minion01' is no peer"),
        ({"peers": ["192.168.199.52/24"]}, "has host bits set"),
        ({"protocol": "sctp"}, "no protocol 'sctp'"),
        ({"port": "http"}, "'http' is no port"),
        ({"port": 65536}, "65536 is no port"),
        ({"protocol": "icmp", "port": 7}, "icmp has no ports"),
        ({"direction": "up"}, "'up' is no direction"),
    ],
)
def test_a_match_that_cannot_be_is_refused(given, wrong):
    with pytest.raises(Unfit) as refused:
        parse_match(**given)
    assert wrong in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("identifier", ["", "../etc", "a b", "-x", "x" * 65])
def test_a_name_that_could_be_a_path_or_an_option_is_refused(identifier):
    with pytest.raises(Unfit, match="cannot name an impairment"):
        Rule(identifier, Impairment(cut=True))


def test_a_rule_survives_json():
    rule = Rule(
        "x", parse_impairment("delay 20ms loss 5%"), parse_match(["fd00::1"], "tcp", 22, "in"), "eth1"
    )
    assert Rule.from_document(rule.as_document()) == rule
    assert str(rule) == "delay 20ms loss 5%: tcp port 22 from fd00::1"


def test_what_is_left_of_an_impairment_without_its_rate():
    assert parse_impairment("rate 1mbit delay 2ms").without_rate() == Impairment(delay=0.002)
    assert parse_impairment("rate 1mbit").without_rate() is None
    assert Match() == parse_match()
