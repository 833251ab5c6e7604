"""Segments of the underlay: where nodes are on them, and the ways between."""

import json
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network, IPv6Network

import pytest

from lab import spec
from lab.cluster.plan import plan_up
from lab.errors import Unfit
from lab.faults.impairment import parse_impairment
from lab.node.impaired import impaired_files
from lab.node.services import IMPAIRED_UNIT
from lab.spec import LabSpec, NodeSpec
from lab.spec.segment import Subnets, interfaces, ours_of, routes

NETWORKS = {
    name: Subnets(IPv4Network(f"192.168.{third}.0/24"))
    for name, third in zip("abcd", range(50, 54), strict=True)
}

CHAIN = """
name: chain
segments: {a: {}, b: {mtu: 1400}, c: {subnet: 192.168.77.0/24}, d: {}}
nodes:
- {name: m, role: master, host: 10}
- {name: ab, services: [], host: 9, segment: a, alsoOn: [{segment: b, host: 2}], router: true}
- {name: bc, services: [], host: 3, segment: b, alsoOn: [{segment: c, host: 4}], router: true}
- {name: cd, services: [], host: 5, segment: c, alsoOn: [{segment: d, host: 6}], router: true}
- {name: far, role: minion, host: 11, segment: d}
- {name: both, services: [], host: 12, segment: a, alsoOn: [{segment: c, host: 12}]}
pods: []
"""


def load(text: str = CHAIN) -> LabSpec:
    return spec.load(text, "lab.yaml")


def node(lab: LabSpec, name: str) -> NodeSpec:
    return next(item for item in lab.nodes if item.name == name)


def ways(lab: LabSpec, name: str) -> dict[str, str]:
    """Which gateway a node has to each segment that it is not on."""
    names = {network: segment for segment, subnets in NETWORKS.items() for network in subnets.every}
    return {names[way.to]: str(way.via) for way in routes(node(lab, name), lab.nodes, NETWORKS)}


def test_a_node_reaches_every_segment_by_the_first_router_on_the_way_there() -> None:
    lab = load()
    assert ways(lab, "m") == dict.fromkeys("bcd", "192.168.50.9")
    assert ways(lab, "far") == dict.fromkeys("abc", "192.168.53.6")


def test_a_router_has_ways_to_what_it_is_not_on() -> None:
    assert ways(load(), "bc") == {"a": "192.168.51.2", "d": "192.168.52.5"}


def test_a_node_on_two_segments_takes_the_shorter_way_and_is_nobodys_router() -> None:
    lab = load()
    assert ways(lab, "both") == {"b": "192.168.50.9", "d": "192.168.52.5"}
    assert "192.168.50.12" not in ways(lab, "m").values()


def test_a_node_has_an_address_on_each_of_its_segments_eth0_first() -> None:
    found = interfaces(node(load(), "bc"), NETWORKS)
    assert [each.every for each in found] == [
        (IPv4Interface("192.168.51.3/24"),),
        (IPv4Interface("192.168.52.4/24"),),
    ]


def test_segments_have_the_subnets_of_the_lab_file_or_the_next_that_nobody_has() -> None:
    lab = load()
    assert [len(lab.subnets(segment)) > 1 for segment in lab.segments] == [True, True, False, True]
    assert lab.subnets(lab.segments[2]) == (IPv4Network("192.168.77.0/24"),)
    assert lab.bare  # other segments' addresses cross each


def test_nodes_that_have_a_segment_in_common_need_no_router() -> None:
    lab = """
    name: two
    segments: {a: {}, b: {}}
    nodes:
    - {name: m, role: master, host: 10}
    - {name: one, role: minion, host: 11, alsoOn: [{segment: b, host: 11}]}
    - {name: two, role: minion, host: 12, alsoOn: [{segment: b, host: 12}]}
    pods: []
    """
    assert ways(spec.load(lab, "lab.yaml"), "m") == {}
    with pytest.raises(Unfit, match="nothing leads from a to b"):
        spec.load(lab.replace("host: 12, also", "host: 12, segment: b}\n    # "), "lab.yaml")


def test_a_lab_with_one_segment_says_it_as_its_underlay() -> None:
    lab = spec.load("underlay: {subnet: 192.168.60.0/24, mtu: 1400}", "lab.yaml")
    (only,) = lab.segments
    assert (str(only.subnet), only.mtu) == ("192.168.60.0/24", 1400)
    assert spec.load("underlay: 192.168.60.0/24", "lab.yaml").segments[0].mtu is None
    (named,) = spec.load("underlay: {mtu: 1400}", "lab.yaml").segments
    assert str(named.subnet) == "192.168.199.0/24"  # the tutorial's


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("segment: d}", "segment: dd}"), "nodes[4]: there is no segment dd"),
        (("{segment: d, host: 6}", "{segment: c, host: 6}"), "nodes[3].alsoOn: cd is on one segment twice"),
        (("{segment: b, host: 2}", "{segment: b, host: 3}"), "nodes: two nodes have the same host on b: 3"),
        (("host: 11, segment: d}", "host: 11, segment: d, router: true}"), "nodes[4].router: far is on one"),
        (
            ("d, host: 6}], router: true", "d, host: 6}]"),
            "segments: nothing leads from a to d: a node on both",
        ),
        (("d: {}}", "d: {subnet: 192.168.77.0/24}}"), "segments: two have the same subnet: 192.168.77.0/24"),
        (("name: chain", "name: chain\nunderlay: 192.168.9.0/24"), "segments: there is `underlay` already"),
        (
            ("b: {mtu: 1400}", "b: {impairment: delay 5}"),
            "segments.b.impairment: '5' is not a time; write a number and its unit",
        ),
        (
            ("b: {mtu: 1400}", "b: {ipv4: false}"),
            "segments.b: ipv4 is false: expected an ipv6, true or a network",
        ),
        (
            ("b: {mtu: 1400}", "b: {ipv6: fd00::/48}"),
            "segments.b.ipv6: expected true, false, or an IPv6 network of length 64, such as fd00:50::/64",
        ),
        (("b: {mtu: 1400}", "b: {ipv6: 'fe80::/64'}"), "segments.b.ipv6: expected true, false, or an IPv6"),
        (
            ("b: {mtu: 1400}", "b: {ipv6: true, mtu: 1000}"),
            "segments.b: mtu: expected at least 1280 with ipv6 (RFC 8200); got 1000",
        ),
        (
            ("b: {mtu: 1400}, c: {", "b: {ipv6: 'fd00:7::/64'}, c: {ipv6: 'fd00:7::/64', "),
            "segments: two have the same ipv6: fd00:7::/64",
        ),
        (
            ("b: {mtu: 1400}", "b: {ipv4: false, ipv6: true}"),
            "segments: nothing leads from a to b: a node on both needs `router: true`, and IPv4 or IPv6 has",
        ),
        (
            ("b: {mtu: 1400}", "b: {mtu: 100}"),
            "segments.b.mtu: expected greater than or equal to 576; got 100",
        ),
    ],
)
def test_segments_that_cannot_be_are_named(change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(Unfit) as told:
        load(CHAIN.replace(*change))
    assert told.value.message.startswith(f"lab.yaml: {complaint}")


def test_the_command_lines_underlay_is_no_network_of_several() -> None:
    with pytest.raises(Unfit, match="--underlay names the network of a lab with one segment"):
        spec.load(CHAIN, "f", underlay=IPv4Network("192.168.9.0/24"))


def test_ways_of_ipv6_lead_by_the_segments_that_have_it() -> None:
    wide = {name: replace(NETWORKS[name], ipv6=ours_of(place)) for place, name in enumerate("abcd", start=1)}
    found = [str(route.via) for route in routes(node(load(), "m"), load().nodes, wide)]
    assert found == ["192.168.50.9"] * 3 + ["fd6c:6162:0:1::9"] * 3
    parted = {**wide, "b": NETWORKS["b"]}  # no IPv6 beyond the first router
    found = [str(route.via) for route in routes(node(load(), "m"), load().nodes, parted)]
    assert found == ["192.168.50.9"] * 3


def test_a_host_part_reads_the_same_in_both_families() -> None:
    subnets = Subnets(IPv4Network("192.168.50.0/24"), IPv6Network("fd00:50::/64"))
    assert [str(each) for each in subnets.address(254).every] == ["192.168.50.254/24", "fd00:50::254/64"]


IMPAIRED = CHAIN.replace("b: {mtu: 1400}", "b: {impairment: loss 1% delay 20ms}")


def test_a_segments_impairment_is_started_by_every_machine_on_it_at_each_boot_and_by_no_other() -> None:
    lab = load(IMPAIRED)
    assert [item.name for item in lab.nodes if lab.impairments(item)] == ["ab", "bc"]
    files = impaired_files(lab, node(lab, "ab"))  # on b with eth1
    rule = json.loads(files["/etc/overlay-lab/impaired/eth1.json"].data)
    assert (rule["device"], rule["direction"], rule["peers"]) == ("eth1", "out", [])
    assert parse_impairment(rule["impairment"]) == parse_impairment("delay 20ms loss 1%")
    assert f"/etc/systemd/system/{IMPAIRED_UNIT}" in files
    assert impaired_files(lab, node(lab, "m")) == {}


def test_a_machine_is_ready_only_once_its_networks_are_impaired() -> None:
    names = {item.name for item in plan_up(load(IMPAIRED))}
    assert {"lab-impaired on ab", "lab-impaired on bc"} <= names
    assert "lab-impaired on m" not in names
