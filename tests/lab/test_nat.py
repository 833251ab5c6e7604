"""Routers that hide segments: who reaches whom, the rules, and what a flanneld behind one announces."""

import pytest

from lab import spec
from lab.cluster import plan
from lab.engine import Network
from lab.errors import Unfit
from lab.spec import LabSpec, NodeSpec
from lab.spec.interface import announced
from lab.spec.segment import routes

TEXT = """
name: demo
segments: {internet: {}, home: {}}
nodes:
- name: nat
  services: []
  host: 254
  alsoOn: [{segment: home, host: 253}]
  router: true
  masquerade: [home]
  forwards: [{port: 8472, to: inner}, {port: 80, to: web, protocol: tcp}]
- {name: m, role: master, host: 10}
- {name: outer, role: minion, host: 11}
- {name: inner, role: minion, host: 12, segment: home}
- {name: web, services: [], host: 13, segment: home}
flannel: {config: {Network: 10.2.0.0/16, Backend: {Type: vxlan}}}
pods: []
"""
NETWORKS = {
    "internet": Network("id", "lab", {}, ("192.168.50.0/24",)),
    "home": Network("id", "lab.home", {}, ("192.168.51.0/24",)),
}


@pytest.fixture
def lab() -> LabSpec:
    return spec.load(TEXT, "lab.yaml")


def node(lab: LabSpec, name: str) -> NodeSpec:
    return next(item for item in lab.nodes if item.name == name)


def ways(lab: LabSpec, name: str) -> list[str]:
    networks = lab.subnets_of({name: item.underlay for name, item in NETWORKS.items()})
    return [f"{way.to} {way.via}" for way in routes(node(lab, name), lab.nodes, networks)]


def made(lab: LabSpec, name: str) -> dict[str, str]:
    config = plan.node_config(
        lab, node(lab, name), prefix="p", networks=NETWORKS, image="i", seed="s", labels={}
    )
    return dict(config.environment)


def test_who_is_hidden_has_a_way_out_and_nobody_has_one_in(lab):
    assert ways(lab, "inner") == ["192.168.50.0/24 192.168.51.253"]
    assert ways(lab, "outer") == []


def test_the_rules_change_what_leaves_and_what_is_to_go_on(lab):
    rules = " ".join(made(lab, "nat")["LAB_NAT"].split())
    assert 'ip saddr 192.168.51.0/24 oifname != "eth1" masquerade' in rules
    own = 'iifname != { "eth1" } fib daddr type local'
    assert f"{own} udp dport 8472 dnat to 192.168.51.12" in rules
    assert f"{own} tcp dport 80 dnat to 192.168.51.13" in rules
    assert "LAB_NAT" not in made(lab, "outer")


def test_a_flanneld_behind_a_nat_announces_the_nats_address(lab):
    networks = lab.subnets_of({name: item.underlay for name, item in NETWORKS.items()})
    assert str(announced(lab, node(lab, "inner"), networks).addresses[4]) == "192.168.50.254"
    assert made(lab, "inner")["LAB_PUBLIC_IP"] == "192.168.50.254"
    assert "LAB_PUBLIC_IP" not in made(lab, "outer")
    # An option comes before the environment, by which flanneld is told.
    asked = spec.load(
        TEXT.replace(
            "segment: home}\n- {name: web",
            "segment: home, flanneld: {options: [-public-ip=203.0.113.9]}}\n- {name: web",
        ),
        "lab.yaml",
    )
    assert str(announced(asked, node(asked, "inner"), networks).addresses[4]) == "203.0.113.9"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("router: true\n", "\n"), "nodes[0].masquerade: nat is no router; expected `router: true`"),
        (
            ("masquerade: [home]", "masquerade: [hom]"),
            "nodes[0].masquerade: nat is not on hom; it is on internet, ",
        ),
        (
            ("masquerade: [home]", "masquerade: [home, internet]"),
            "nodes[0].masquerade: nat hides every segment",
        ),
        (("home: {}}", "home: {ipv6: true}}"), "nodes[0].masquerade: home has ipv6; NAT is of IPv4 alone"),
        (
            ("to: inner}", "to: iner}"),
            "nodes[0].forwards[0].to: there is no node iner; did you mean inner?",
        ),
        (
            ("to: inner}", "to: outer}"),
            "nodes[0].forwards[0].to: outer is on no segment that nat hides: home",
        ),
        (
            ("port: 80, to: web, protocol: tcp", "port: 8472, to: web"),
            "nodes[0].forwards[1].port: udp 8472 leads",
        ),
        (("port: 80,", "port: 0,"), "nodes[0].forwards[1].port: expected greater than or equal to 1; got 0"),
        (
            ("name: web, services: [], host: 13", "name: web, role: minion, host: 13"),
            "nodes: web is behind a NAT, where outer does not reach it; expected `forwards` to it, of the",
        ),
        (
            ("{port: 8472, to: inner}", "{port: 8472, to: inner, protocol: tcp}"),
            "nodes: inner is behind a NAT, where outer does not reach it; expected `forwards` to it, of",
        ),
        (
            ("name: m, role: master, host: 10", "name: m, role: master, host: 10, segment: home"),
            "nodes: m is behind a NAT, where outer does not reach it; expected etcd in front of it",
        ),
        (
            ("{Type: vxlan}", "{Type: host-gw}"),
            "flannel.config.Backend.Type: inner is behind a NAT, where outer does not reach it by host-gw; "
            "expected one of udp, vxlan, wireguard",
        ),
        (("{Type: vxlan}", "{Type: ipip}"), "flannel.config.Backend.Type: inner is behind a NAT, where"),
    ],
)
def test_a_nat_that_cannot_be_is_told(change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(Unfit) as told:
        spec.load(TEXT.replace(*change), "lab.yaml")
    assert f"\nlab.yaml: {complaint}" in f"\n{told.value.message}"


def test_two_flannelds_behind_one_nat_would_announce_one_address() -> None:
    text = TEXT.replace("name: web, services: []", "name: web, role: minion").replace(
        "80, to: web, protocol: tcp", "8473, to: web"
    )
    with pytest.raises(
        Unfit, match="inner and web would announce one address, that of nat; expected UDP for one"
    ):
        spec.load(text, "lab.yaml")


def test_who_is_behind_the_same_nat_needs_no_forward_to_be_reached_by_the_others_there() -> None:
    text = TEXT.replace(
        "{name: outer, role: minion, host: 11}", "{name: outer, role: minion, host: 11, segment: home}"
    )
    lab = spec.load(text.replace("{port: 8472, to: inner}, ", "").replace("vxlan", "host-gw"), "lab.yaml")
    assert "LAB_PUBLIC_IP" not in made(lab, "inner")


def test_of_two_that_are_each_behind_a_nat_of_its_own_both_need_a_forward() -> None:
    other = """
- name: nat2
  services: []
  host: 250
  alsoOn: [{segment: yard, host: 250}]
  router: true
  masquerade: [yard]
- {name: far, role: minion, host: 14, segment: yard}
flannel:"""
    text = TEXT.replace("home: {}}", "home: {}, yard: {}}").replace("\nflannel:", other)
    with pytest.raises(
        Unfit, match="nodes: far is behind a NAT, where outer does not reach it; expected `forw"
    ):
        spec.load(text, "lab.yaml")
    spec.load(text.replace("[yard]", "[yard]\n  forwards: [{port: 8472, to: far}]"), "lab.yaml")
