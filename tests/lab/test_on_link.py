"""Segments whose nodes have single addresses: what is on the link, routes say."""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

import pytest

from lab import checks, spec
from lab.checks.expected import expected_on
from lab.cluster import plan
from lab.engine import Network
from lab.errors import Unfit
from lab.observe import Lease, NodeObservation, Observation
from lab.spec import LabSpec
from lab.spec.segment import Subnets, interfaces, routes
from tests.lab.examples import AT, FOLDER

TEXT = """
name: clouds
segments:
  rack: {onLink: subnet}
  cloud: {onLink: gateway, ipv6: "fd00:77::/64"}
nodes:
- {name: gw, services: [], host: 254, alsoOn: [{segment: cloud, host: 253}], router: true}
- {name: spare, services: [], host: 252, segment: cloud, alsoOn: [{segment: rack, host: 252}], router: true}
- {name: m, role: master, host: 10}
- {name: near, role: minion, host: 11}
- {name: one, role: minion, host: 21, segment: cloud}
- {name: two, role: minion, host: 22, segment: cloud}
flannel: {config: {Network: 10.2.0.0/16, Backend: {Type: vxlan, DirectRouting: true}}}
pods: []
"""
RACK, CLOUD = IPv4Network("192.168.50.0/24"), IPv4Network("192.168.51.0/24")


@pytest.fixture
def lab() -> LabSpec:
    return spec.load(TEXT, "lab.yaml")


@pytest.fixture
def networks(lab: LabSpec) -> Mapping[str, Subnets]:
    return lab.subnets_of({"rack": RACK, "cloud": CLOUD})


def ways(lab: LabSpec, name: str, networks: Mapping[str, Subnets]) -> list[str]:
    (node,) = [item for item in lab.nodes if item.name == name]
    return [f"{way.to} {way.via}" for way in routes(node, lab.nodes, networks)]


def addresses(lab: LabSpec, name: str, networks: Mapping[str, Subnets]) -> list[str]:
    (node,) = [item for item in lab.nodes if item.name == name]
    return [str(item) for each in interfaces(node, networks) for item in each.every]


def test_a_nodes_address_is_single_and_a_gateways_has_its_network(lab, networks):
    assert addresses(lab, "near", networks) == ["192.168.50.11/32"]
    assert addresses(lab, "one", networks) == ["192.168.51.21/32", "fd00:77::21/128"]
    assert addresses(lab, "gw", networks) == ["192.168.50.254/32", "192.168.51.253/24", "fd00:77::253/64"]


def test_where_the_network_is_on_the_link_a_route_says_so(lab, networks):
    assert ways(lab, "near", networks) == ["192.168.50.0/24 eth0", "192.168.51.0/24 192.168.50.254"]


def test_where_the_gateway_is_alone_on_the_link_it_leads_to_the_neighbours_too(lab, networks):
    assert ways(lab, "one", networks) == [
        "192.168.51.253/32 eth0",
        "192.168.51.252/32 eth0",
        "192.168.51.0/24 192.168.51.253",
        "192.168.50.0/24 192.168.51.253",
        "fd00:77::253/128 eth0",
        "fd00:77::252/128 eth0",
        "fd00:77::/64 fd00:77::253",
    ]


def test_a_machine_is_told_its_addresses_and_to_heed_no_redirect(lab):
    networks = {
        "rack": Network("id", "lab-rack", {}, (str(RACK),)),
        "cloud": Network("id", "lab-cloud", {}, (str(CLOUD),)),
    }

    def made(name: str) -> Mapping[str, str]:
        (node,) = [item for item in lab.nodes if item.name == name]
        found = plan.node_config(lab, node, prefix="p", networks=networks, image="i", seed="s", labels={})
        return found.environment

    assert made("near")["LAB_ADDRESSES"] == "eth0=192.168.50.11/32"
    assert made("near")["LAB_ROUTES"] == "192.168.50.0/24=eth0 192.168.51.0/24=192.168.50.254"
    assert "LAB_SYSCTLS" not in made("near")
    # Of IPv4 a redirect is heeded if either all or the interface says so (ip-sysctl.rst of the kernel).
    assert made("one")["LAB_SYSCTLS"].split() == [
        "net.ipv4.conf.all.accept_redirects=0",
        "net.ipv4.conf.eth0.accept_redirects=0",
        "net.ipv6.conf.eth0.accept_redirects=0",
    ]
    assert "LAB_SYSCTLS" not in made("gw")


def test_the_lab_files_own_setting_stays(lab):
    text = TEXT.replace(
        "segment: cloud}\n- {name: two",
        "segment: cloud, sysctls: {net.ipv4.conf.eth0.accept_redirects: 1}}\n- {name: two",
    )
    changed = spec.load(text, "lab.yaml")
    networks = {
        name: Network("id", name, {}, (str(net),)) for name, net in (("rack", RACK), ("cloud", CLOUD))
    }
    (node,) = [item for item in changed.nodes if item.name == "one"]
    made = plan.node_config(changed, node, prefix="p", networks=networks, image="i", seed="s", labels={})
    assert "net.ipv4.conf.eth0.accept_redirects=1" in made.environment["LAB_SYSCTLS"].split()


SUBNETS = {"near": "10.2.11", "one": "10.2.21", "two": "10.2.22"}


def observed(lab: LabSpec, networks: Mapping[str, Subnets]) -> Observation:
    def address(name: str) -> str:
        return addresses(lab, name, networks)[0].partition("/")[0]

    leases = tuple(
        Lease(f"{FOLDER}/{net}.0-24", IPv4Network(f"{net}.0/24"), f'{{"PublicIP":"{address(name)}"}}', 60)
        for name, net in SUBNETS.items()
    )
    nodes = {
        node.name: NodeObservation(
            name=node.name,
            address=interfaces(node, networks)[0].ip,
            state="running",
            at=AT,
            leases=leases if node.name == "m" else None,
        )
        for node in lab.nodes
    }
    return Observation(lab, networks, nodes)


def ways_into(seen: Observation, name: str) -> set[str]:
    """The routes that a node must have."""
    return set(expected_on(seen, seen.nodes[name]).sides[0].routes or ())


def test_directrouting_tells_a_neighbour_on_the_link_from_one_behind_the_gateway(lab, networks):
    seen = observed(lab, networks)
    routes_of = {name: ways_into(seen, name) for name in ("one", "near")}
    # docs/flanneld.md, vxlan: a peer is on the link if the kernel's route to it has no gateway.
    assert routes_of["one"] == {
        "10.2.11.0/24 via 10.2.11.0 dev flannel.1 onlink",
        "10.2.22.0/24 via 10.2.22.0 dev flannel.1 onlink",
    }
    third = TEXT.replace("host: 22, segment: cloud", "host: 12")
    beside = spec.load(third, "lab.yaml")
    seen = observed(beside, beside.subnets_of({"rack": RACK, "cloud": CLOUD}))
    assert "10.2.22.0/24 via 192.168.50.12 dev eth0" in ways_into(seen, "near")


def test_a_gateway_that_is_not_there_is_told():
    with pytest.raises(Unfit, match="segments: rack has onLink: gateway, and no router is on it"):
        spec.load(
            "segments: {rack: {onLink: gateway}}\nnodes: [{name: m, services: [], host: 10}]", "lab.yaml"
        )
    with pytest.raises(Unfit, match=r"segments\.rack\.onLink: expected 'subnet' or 'gateway'; got 'all'"):
        spec.load("segments: {rack: {onLink: all}}", "lab.yaml")


def test_an_address_of_ones_own_choice_is_read_in_both_families():
    wide = Subnets(RACK, IPv6Network("fd00:77::/64"), "subnet")
    assert [str(item) for item in wide.address(11).every] == ["192.168.50.11/32", "fd00:77::11/128"]


HOST_GW = TEXT.replace("{Type: vxlan, DirectRouting: true}", "{Type: host-gw}")


def test_host_gw_leads_to_who_is_on_the_link_and_nobody_else_is_pinged() -> None:
    lab = spec.load(HOST_GW.replace("host: 22, segment: cloud", "host: 12"), "lab.yaml")
    seen = observed(lab, lab.subnets_of({"rack": RACK, "cloud": CLOUD}))
    assert ways_into(seen, "near") == {"10.2.22.0/24 via 192.168.50.12 dev eth0"}
    assert ways_into(seen, "one") == set()
    assert seen.is_led("near", "two")
    assert not seen.is_led("near", "one")
    found = checks.judge(seen, checks.chosen(["ping.nodes"]))
    pairs = {item.subject.names for item in found if item.id == "ping.nodes"}
    assert pairs == {("near", "two"), ("two", "near")}


def test_that_host_gw_leads_past_no_router_is_said() -> None:
    lab = spec.load(HOST_GW, "lab.yaml")
    assert {item.node: item.why for item in checks.left_out(lab)} == dict.fromkeys(
        ("near", "one", "two"),
        "host-gw leads past no router, so no packets to and from pods behind one are expected",
    )
    assert checks.left_out(spec.load(TEXT, "lab.yaml")) == ()


def test_neighbours_behind_the_gateway_are_led_to_by_a_tunnel_alone(lab, networks) -> None:
    assert observed(lab, networks).is_led("one", "two")
    assert not observed(spec.load(HOST_GW, "lab.yaml"), networks).is_led("one", "two")
