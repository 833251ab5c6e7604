"""The checks of an overlay with IPv6, beside IPv4 and alone.

Keys, values and files are as flannel 0.20.2 writes them with EnableIPv6, and what `ip` shows is as
tests/kernel/test_dual_stack.py has it.
"""

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import pytest

from lab import checks, spec
from lab.errors import Unfit
from lab.observe import File, Lease, Link, NodeObservation, Observation, Ping
from lab.observe.inside import probe
from lab.observe.parse import parse_leases, parse_links, parse_routes6, subnets_of_key
from lab.spec import Flanneld, Program
from tests.lab.examples import AT, FOLDER, changed, etcd_answer, known

ONE, TWO = "centos-minion01", "centos-minion02"
MASTER = "centos-master"
HOST = {ONE: 52, TWO: 53}
SUBNET = {ONE: "10.2.37", TWO: "10.2.7"}
SUBNET6 = {ONE: "2001:cafe:42:93", TWO: "2001:cafe:42:ad"}
MAC = {ONE: "4a:60:d1:ba:68:cb", TWO: "6a:36:44:15:e0:c8"}
MAC6 = {ONE: "0e:11:78:a4:e2:32", TWO: "fa:e4:0e:45:e7:22"}

DUAL = """
underlay: {ipv6: true}
flannel:
  config: {Network: 10.2.0.0/16, EnableIPv6: true, IPv6Network: "2001:cafe:42::/56", Backend: {Type: vxlan}}
pods: []
"""
ALONE = DUAL.replace("{ipv6: true}", "{ipv4: false, ipv6: true}").replace(
    "Network: 10.2.0.0/16,", "EnableIPv4: false,"
)


def address(name: str) -> str:
    return f"192.168.199.{HOST[name]}"


def address6(name: str) -> str:
    return f"fd6c:6162:0:1::{HOST[name]}"


def value(name: str) -> str:
    return (
        f'{{"PublicIP":"{address(name)}","PublicIPv6":"{address6(name)}","BackendType":"vxlan",'
        f'"BackendData":{{"VNI":1,"VtepMAC":"{MAC[name]}"}},'
        f'"BackendV6Data":{{"VNI":1,"VtepMAC":"{MAC6[name]}"}}}}'
    )


def subnet6(name: str) -> IPv6Network:
    return IPv6Network(f"{SUBNET6[name]}::/64")


def key(name: str) -> str:
    return f"{FOLDER}/{SUBNET[name]}.0-24&{SUBNET6[name]}::-64"


# As iproute2 6.15 prints it.
ROUTES6 = """\
{other}::/64 via {other}:: dev flannel-v6.1 proto 241 metric 1024 onlink pref medium
{own}:: dev flannel-v6.1 proto kernel metric 256 pref medium
{own}::/64 dev docker0 proto kernel metric 256 linkdown pref medium
fd6c:6162:0:1::/64 dev eth0 proto kernel metric 256 pref medium
fe80::/64 dev eth0 proto kernel metric 256 pref medium
"""


def minion(name: str) -> NodeObservation:
    other = TWO if name == ONE else ONE
    links = (
        Link("eth0", True, 1500, None, (f"{address(name)}/24",), "", (f"{address6(name)}/64",)),
        Link("flannel.1", True, 1450, None, (f"{SUBNET[name]}.0/32",), MAC[name]),
        Link("flannel-v6.1", True, 1430, None, (), MAC6[name], (f"{SUBNET6[name]}::/128",)),
        Link("docker0", True, 1430, None, (f"{SUBNET[name]}.1/24",), "", (f"{SUBNET6[name]}::1/64",)),
    )
    return NodeObservation(
        name=name,
        address=IPv4Address(address(name)),
        address6=IPv6Address(address6(name)),
        state="running",
        at=AT,
        links={link.name: link for link in links},
        routes=(
            f"{SUBNET[other]}.0/24 via {SUBNET[other]}.0 dev flannel.1 proto 241 onlink",
            f"{SUBNET[name]}.0/24 dev docker0 proto kernel scope link src {SUBNET[name]}.1",
        ),
        routes6=parse_routes6(ROUTES6.format(own=SUBNET6[name], other=SUBNET6[other])),
        neighbours=(
            ("flannel.1", f"{SUBNET[other]}.0 {MAC[other]}"),
            ("flannel-v6.1", f"{SUBNET6[other]}:: {MAC6[other]}"),
        ),
        fdb=(
            ("flannel.1", f"{MAC[other]} {address(other)}"),
            ("flannel-v6.1", f"{MAC6[other]} {address6(other)}"),
        ),
        subnet_env=File(
            f"FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET={SUBNET[name]}.1/24\n"
            f"FLANNEL_IPV6_NETWORK=2001:cafe:42::/56\nFLANNEL_IPV6_SUBNET={SUBNET6[name]}::1/64\n"
            "FLANNEL_MTU=1430\nFLANNEL_IPMASQ=false\n"
        ),
        pods=(),
        probes=(Ping(name, other, 62, ""), Ping(name, other, 62, "", 6)),
    )


def observed(text: str = DUAL) -> Observation:
    lab = spec.load(text, "lab.yaml")
    etcd = NodeObservation(
        name=MASTER,
        address=IPv4Address("192.168.199.51"),
        state="running",
        at=AT,
        config=lab.flannel_config,
        leases=tuple(
            Lease(key(name), IPv4Network(f"{SUBNET[name]}.0/24"), value(name), 86390, subnet6(name))
            for name in (ONE, TWO)
        ),
    )
    nodes = (etcd, minion(ONE), minion(TWO))
    segments = lab.subnets_of({"underlay": IPv4Network("192.168.199.0/24")})
    return Observation(lab, segments, {node.name: node for node in nodes})


def failures(seen: Observation) -> dict[tuple[str, str], tuple[str, str]]:
    """(identifier, subject and part) -> (expected, seen), in words, of what does not hold."""
    return {
        (item.id, " ".join(filter(None, (str(item.subject), item.subject.part)))): (
            item.expected.text,
            item.seen.text,
        )
        for item in checks.failed(checks.judge(seen))
    }


def without(items: Any, index: int) -> Any:
    return tuple(item for place, item in enumerate(items) if place != index)


def test_an_overlay_of_both_families_passes_and_each_is_looked_at() -> None:
    seen = observed()
    assert {item for item in failures(seen) if item[0] != "service.active"} == set()
    made = {(item.id, str(item.subject), item.subject.part) for item in checks.judge(seen)}
    for device in ("flannel.1", "flannel-v6.1"):
        for check in ("overlay.address", "overlay.mtu", "overlay.state", "overlay.neighbours", "overlay.fdb"):
            assert (check, ONE, device) in made
    assert ("ping.nodes6", f"{ONE} -> {TWO}", "") in made


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"routes6": without(minion(ONE).routes6, 0)}, "routes.overlay"),
        ({"routes6": (*known(minion(ONE).routes6), "default via fe80::1 dev eth0")}, "routes.default"),
        ({"neighbours": without(minion(ONE).neighbours, 1)}, "overlay.neighbours"),
        ({"fdb": without(minion(ONE).fdb, 1)}, "overlay.fdb"),
        ({"probes": (Ping(ONE, TWO, 62, ""), Ping(ONE, TWO, None, "no answer", 6))}, "ping.nodes6"),
        ({"probes": (Ping(ONE, TWO, 62, "", 6), Ping(ONE, TWO, None, "no answer"))}, "ping.nodes"),
    ],
)
def test_what_is_wrong_with_one_family_is_told(changes: dict[str, Any], check: str) -> None:
    assert [found for found, _ in failures(changed(observed(), ONE, **changes))] == [check]


@pytest.mark.parametrize("device", ["eth0", "flannel-v6.1", "docker0"])
def test_a_device_without_its_ipv6_address_fails(device: str) -> None:
    links = dict(known(minion(ONE).links))
    links[device] = replace(links[device], addresses6=())
    (found,) = failures(changed(observed(), ONE, links=links))
    assert found[0] == {"eth0": "underlay.address", "docker0": "docker0.address"}.get(
        device, "overlay.address"
    )
    assert found[1].split()[-1] == device


def test_a_lease_without_its_ipv6_half_fails() -> None:
    first, second = known(observed().nodes[MASTER].leases)
    half = replace(first, subnet6=None, value=value(ONE).replace(f'"{address6(ONE)}"', "null"))
    found = {check for check, _ in failures(changed(observed(), MASTER, leases=(half, second)))}
    assert {"leases.key", "leases.value", "leases.subnets"} <= found


def test_a_genuine_flannel_leaves_no_room_for_the_header_of_ipv6() -> None:
    lab = observed().spec
    program = Flanneld(program=Program(path="/flanneld", digest="0", architecture="amd64"))
    nodes = tuple(
        node.model_copy(update={"flanneld": program}) if node.runs("flanneld") else node for node in lab.nodes
    )
    seen = changed(replace(observed(), spec=lab.model_copy(update={"nodes": nodes})), ONE, version="v0.20.2")
    assert failures(seen)["overlay.mtu", f"{ONE} flannel-v6.1"] == ("1450", "1430")


def test_an_overlay_of_ipv6_alone_has_no_half_of_ipv4() -> None:
    seen = observed(ALONE)
    assert seen.spec.families == (6,)
    leases = tuple(
        Lease(
            f"{FOLDER}/0.0.0.0-0&{SUBNET6[name]}::-64",
            None,
            f'{{"PublicIP":"0.0.0.0","PublicIPv6":"{address6(name)}","BackendType":"vxlan",'
            f'"BackendV6Data":{{"VNI":1,"VtepMAC":"{MAC6[name]}"}}}}',
            86390,
            subnet6(name),
        )
        for name in (ONE, TWO)
    )
    seen = changed(seen, MASTER, leases=leases)
    for name in (ONE, TWO):
        node = minion(name)
        lines = (known(node.subnet_env).text or "").splitlines(keepends=True)
        ipv4 = ("FLANNEL_NETWORK", "FLANNEL_SUBNET")
        env = "".join(line for line in lines if not line.startswith(ipv4))
        links = {name: link for name, link in known(node.links).items() if name != "flannel.1"}
        links["eth0"] = replace(links["eth0"], addresses=())
        seen = changed(
            seen,
            name,
            address=IPv6Address(address6(name)),
            links=links,
            routes=(),
            neighbours=known(node.neighbours)[1:],
            fdb=known(node.fdb)[1:],
            subnet_env=File(env),
            probes=known(node.probes)[1:],
        )
    assert {item for item in failures(seen) if item[0] != "service.active"} == set()


@pytest.mark.parametrize(
    ("text", "ipv4", "ipv6"),
    [
        ("10.2.37.0-24&2001:cafe:42:93::-64", "10.2.37.0/24", "2001:cafe:42:93::/64"),
        ("0.0.0.0-0&2001:cafe:42:93::-64", None, "2001:cafe:42:93::/64"),
        ("10.2.37.0-24", "10.2.37.0/24", None),
        ("10.2.37.0-24&2001:cafe:42:93::1-64", None, None),
        ("10.2.37.0-24&-64", None, None),
    ],
)
def test_keys_of_leases_name_a_subnet_of_each_family(text: str, ipv4: str | None, ipv6: str | None) -> None:
    found = subnets_of_key(f"{FOLDER}/{text}")
    assert found == (IPv4Network(ipv4) if ipv4 else None, IPv6Network(ipv6) if ipv6 else None)
    (lease,) = parse_leases(etcd_answer(Lease(f"{FOLDER}/{text}", None, "{}", 60)))
    assert (lease.subnet, lease.subnet6) == found


def test_addresses_of_the_link_are_nobodys_choice() -> None:
    shown = [
        {"family": "inet6", "local": "fd00::1", "prefixlen": 64, "scope": "global"},
        {"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"},
    ]
    text = json.dumps([{"ifname": "eth0", "flags": ["UP"], "mtu": 1500, "addr_info": shown}])
    assert parse_links(text)["eth0"].addresses6 == ("fd00::1/64",)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("IPv6Network: ", "IPv6Net: "), "flannel.config.IPv6Network: required, such as 2001:cafe:42::/56"),
        (('"2001:cafe:42::/56"', "10.3.0.0/16"), "flannel.config.IPv6Network: expected an IPv6 network such"),
        (("vxlan", "udp"), "flannel.config.Backend.Type: udp carries IPv4 alone; with EnableIPv6 expected"),
        ((", Backend: {Type: vxlan}", ""), "flannel.config.Backend.Type: required with EnableIPv6: "),
        (("EnableIPv6: true", "EnableIPv6: 1"), "flannel.config.EnableIPv6: expected true or false; got"),
        (
            ("EnableIPv6: true", "EnableIPv6: true, IPv6SubnetLen: 57"),
            "flannel.config.IPv6SubnetLen: expected 58 to 126, with room for four subnets in 2001:cafe:42::",
        ),
        (
            ("EnableIPv6: true", "EnableIPv6: true, IPv6SubnetMin: '2001:cafe:43::'"),
            "flannel.config.IPv6SubnetMin: 2001:cafe:43:: is not in the IPv6Network 2001:cafe:42::/56",
        ),
        (
            ("underlay: {ipv6: true}", ""),
            "flannel.config: the overlay has IPv4 and IPv6, and centos-minion01 is on no segment whose "
            "addresses are so: expected `ipv6: true` there",
        ),
        (
            ("ipv6: true", "ipv6: '2001:cafe:42:7::/64'"),
            "flannel.config: the IPv6Network 2001:cafe:42::/56 overlaps the machines' own on underlay",
        ),
        (
            ("EnableIPv6: true", "EnableIPv6: false, EnableIPv4: false"),
            "flannel.config.EnableIPv4: expected true, or EnableIPv6: there is no family",
        ),
    ],
)
def test_a_configuration_with_ipv6_that_cannot_be_is_told(change: tuple[str, str], complaint: str) -> None:
    with pytest.raises(Unfit) as told:
        spec.load(DUAL.replace(*change), "lab.yaml")
    assert told.value.message.startswith(f"lab.yaml: {complaint}")


# The stand-ins for containers


def test_a_stand_in_has_the_same_place_in_both_subnets() -> None:
    assert probe.like("10.2.37.254", 24, "2001:cafe:42:93::1", 64) == "2001:cafe:42:93:ffff:ffff:ffff:fffe"
    assert probe.like("10.2.37.253", 24, "2001:cafe:42:93::1", 64) == "2001:cafe:42:93:ffff:ffff:ffff:fffd"


def icmp6(kind: int, code: int, rest: bytes) -> bytes:
    """RFC 4443, 2.1."""
    return bytes([kind, code, 0, 0]) + rest


def test_an_echo_reply_of_ipv6_is_read_with_its_hop_limit() -> None:
    reply = icmp6(129, 0, bytes([0, 7, 0, 3]) + bytes(56))
    assert probe.reading6(reply, 62, "2001:cafe:42:ad::1", 7) == (3, {"ttl": 62})
    assert probe.reading6(reply, 62, "2001:cafe:42:ad::1", 8) is None


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (1, 0, "no route to destination"),
        (3, 0, "hop limit exceeded in transit"),
        (2, 0, "ICMPv6 type 2 code 0"),
    ],
)
def test_an_error_of_icmpv6_about_a_request_is_told_with_who_says_it(
    kind: int, code: int, words: str
) -> None:
    error = icmp6(kind, code, bytes(4) + bytes(40) + probe.request6(7, 3))
    expected = (3, {"error": f"2001:cafe:42:93::1 says: {words}"})
    assert probe.reading6(error, 64, "2001:cafe:42:93::1", 7) == expected
    assert probe.reading6(error[:50], 64, "2001:cafe:42:93::1", 7) is None


def test_other_icmpv6_is_nothing_to_us() -> None:
    solicitation = icmp6(135, 0, bytes(20))  # RFC 4861, 4.3
    assert probe.reading6(solicitation, 255, "fe80::1", 7) is None
    assert probe.reading6(probe.request6(7, 3), 64, "2001:cafe:42:93::2", 7) is None
