"""The checks with other backends than udp, and with flannels of other ages.

Every line of output here is a genuine flannel's, 0.20.2 on etcd v3 or 0.5.5 on etcd v2, on two minions.
"""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from lab import checks
from lab.backends import BackendConfig, Member, Overlay, Peer, backend
from lab.backends.model import Forms
from lab.errors import LabError
from lab.flannel import OURS, dialect_of, etcd_api_of, our_dialect, parse_version
from lab.observe import File, Lease, Link, NodeObservation, Observation, Ping
from lab.observe.model import Output
from lab.observe.parse import parse_fdb, parse_leases_v2, parse_neighbours, parse_ping
from lab.spec import Flanneld, LabSpec, Program, backend_of, tutorial
from tests.lab.examples import AT, FOLDER, changed, known, observation, pod, seen_of

ONE, TWO = "centos-minion01", "centos-minion02"
MASTER = "centos-master"
UNDERLAY = IPv4Network("192.168.200.0/24")
ADDRESS = {ONE: "192.168.200.52", TWO: "192.168.200.53"}
SUBNET = {ONE: "10.2.37", TWO: "10.2.7"}
MAC = {ONE: "1a:18:b1:6e:42:dc", TWO: "0a:45:2d:16:30:19"}
GENUINE = Flanneld(program=Program(path="/flanneld", digest="0", architecture="amd64"))


def spec(backend: dict[str, Any], api: str, flanneld: Flanneld) -> LabSpec:
    lab = tutorial().with_name("demo")
    nodes = tuple(
        node.model_copy(update={"flanneld": flanneld if node.runs("flanneld") else Flanneld()})
        for node in lab.nodes
    )
    config = json.dumps({"Network": "10.2.0.0/16", "Backend": backend})
    return lab.model_copy(update={"nodes": nodes, "flannel_config": config, "etcd_api": api, "pods": ()})


def seen(
    lab: LabSpec,
    *,
    mtu: int,
    device: Link | None,
    version: str,
    routes: dict[str, str],
    values: dict[str, str],
    tables: bool = False,
) -> Observation:
    """Two minions without pods. In `device`'s address stands the octet's place."""
    peer = {ONE: TWO, TWO: ONE}
    # The way there leaves 62 of 64, with udp 60: genuine 0.5.5 and 0.20.2 alike.
    left = 60 if lab.backend.name == "udp" else 62

    def minion(name: str) -> NodeObservation:
        links = [
            Link("eth0", True, 1500, None, (f"{ADDRESS[name]}/24",)),
            Link("docker0", True, mtu, None, (f"{SUBNET[name]}.1/24",)),
        ]
        if device is not None:
            address = device.addresses[0].format(SUBNET[name])
            links.append(replace(device, addresses=(address,), mac=MAC[name] if tables else ""))
        other = peer[name]
        return NodeObservation(
            name=name,
            address=IPv4Address(ADDRESS[name]),
            state="running",
            at=AT,
            links={link.name: link for link in links},
            routes=(
                f"{SUBNET[name]}.0/24 dev docker0 proto kernel scope link src {SUBNET[name]}.1",
                f"192.168.200.0/24 dev eth0 proto kernel scope link src {ADDRESS[name]}",
                routes[name],
            ),
            subnet_env=File(
                f"FLANNEL_NETWORK=10.2.0.0/16\nFLANNEL_SUBNET={SUBNET[name]}.1/24\n"
                f"FLANNEL_MTU={mtu}\nFLANNEL_IPMASQ=false\n"
            ),
            version=version,
            neighbours=(("flannel.1", f"{SUBNET[other]}.0 {MAC[other]}"),) if tables else (),
            fdb=(("flannel.1", f"{MAC[other]} {ADDRESS[other]}"),) if tables else (),
            pods=(),
            probes=(Ping(name, other, left, ""),),
        )

    etcd = NodeObservation(
        name=MASTER,
        address=IPv4Address("192.168.200.51"),
        state="running",
        at=AT,
        config=lab.flannel_config,
        leases=tuple(
            Lease(f"{FOLDER}/{SUBNET[name]}.0-24", IPv4Network(f"{SUBNET[name]}.0/24"), values[name], 86390)
            for name in (ONE, TWO)
        ),
    )
    return seen_of(etcd, minion(ONE), minion(TWO), spec=lab, underlay=UNDERLAY)


VXLAN = seen(
    spec({"Type": "vxlan"}, "v3", GENUINE),
    mtu=1450,
    device=Link("flannel.1", True, 1450, None, ("{}.0/32",)),
    version="v0.20.2",
    routes={
        ONE: "10.2.7.0/24 via 10.2.7.0 dev flannel.1 onlink",
        TWO: "10.2.37.0/24 via 10.2.37.0 dev flannel.1 onlink",
    },
    values={
        ONE: '{"PublicIP":"192.168.200.52","PublicIPv6":null,"BackendType":"vxlan",'
        '"BackendData":{"VNI":1,"VtepMAC":"1a:18:b1:6e:42:dc"}}',
        TWO: '{"PublicIP":"192.168.200.53","PublicIPv6":null,"BackendType":"vxlan",'
        '"BackendData":{"VNI":1,"VtepMAC":"0a:45:2d:16:30:19"}}',
    },
    tables=True,
)
OLD_VXLAN = seen(
    spec({"Type": "vxlan"}, "v2", GENUINE),
    mtu=1450,
    device=Link("flannel.1", True, 1450, None, ("{}.0/16",)),
    version="0.5.5",
    routes={
        ONE: "10.2.0.0/16 dev flannel.1 proto kernel scope link src 10.2.37.0",
        TWO: "10.2.0.0/16 dev flannel.1 proto kernel scope link src 10.2.7.0",
    },
    values={
        ONE: '{"PublicIP":"192.168.200.52","BackendType":"vxlan",'
        '"BackendData":{"VtepMAC":"1a:18:b1:6e:42:dc"}}',
        TWO: '{"PublicIP":"192.168.200.53","BackendType":"vxlan",'
        '"BackendData":{"VtepMAC":"0a:45:2d:16:30:19"}}',
    },
    tables=True,
)
HOST_GW = seen(
    spec({"Type": "host-gw"}, "v3", GENUINE),
    mtu=1500,
    device=None,
    version="v0.20.2",
    routes={
        ONE: "10.2.7.0/24 via 192.168.200.53 dev eth0",
        TWO: "10.2.37.0/24 via 192.168.200.52 dev eth0",
    },
    values={
        ONE: '{"PublicIP":"192.168.200.52","PublicIPv6":null,"BackendType":"host-gw"}',
        TWO: '{"PublicIP":"192.168.200.53","PublicIPv6":null,"BackendType":"host-gw"}',
    },
)
UDP = seen(
    spec({"Type": "udp"}, "v3", GENUINE),
    mtu=1472,
    device=Link("flannel0", True, 1472, 500, ("{}.0/32",)),
    version="v0.20.2",
    routes={ONE: "10.2.0.0/16 dev flannel0", TWO: "10.2.0.0/16 dev flannel0"},
    values={
        ONE: '{"PublicIP":"192.168.200.52","PublicIPv6":null}',
        TWO: '{"PublicIP":"192.168.200.53","PublicIPv6":null}',
    },
)


# As ip(8) shows what flanneld_py has made, on Linux 6.12: tests/kernel/test_wireguard.py, test_ipip.py.
OUR_WIREGUARD = seen(
    spec({"Type": "wireguard"}, "v3", Flanneld()),
    mtu=1420,
    device=Link("flannel-wg", True, 1420, None, ("{}.0/32",)),
    version="",
    routes={
        ONE: "10.2.7.0/24 dev flannel-wg proto 241 scope link",
        TWO: "10.2.37.0/24 dev flannel-wg proto 241 scope link",
    },
    values={
        ONE: '{"PublicIP":"192.168.200.52","PublicIPv6":null,"BackendType":"wireguard",'
        '"BackendData":{"PublicKey":"l8OxC01sEzp46l3MHPZCHT+Brjex9ijOFMpvzncw8zM=","Port":51820}}',
        TWO: '{"PublicIP":"192.168.200.53","PublicIPv6":null,"BackendType":"wireguard",'
        '"BackendData":{"PublicKey":"c7LYt2qptTZgAyvI9di+46OuTjs6f9Sa3oH3NHo0qmg=","Port":51820}}',
    },
)
OUR_IPIP = seen(
    spec({"Type": "ipip"}, "v3", Flanneld()),
    mtu=1480,
    device=Link("flannel.ipip", True, 1480, None, ("{}.0/32",)),
    version="",
    routes={
        ONE: "10.2.7.0/24 via 192.168.200.53 dev flannel.ipip proto 241 onlink",
        TWO: "10.2.37.0/24 via 192.168.200.52 dev flannel.ipip proto 241 onlink",
    },
    values={
        ONE: '{"PublicIP":"192.168.200.52","PublicIPv6":null,"BackendType":"ipip"}',
        TWO: '{"PublicIP":"192.168.200.53","PublicIPv6":null,"BackendType":"ipip"}',
    },
)


def of(found: Observation, backend: dict[str, Any], api: str, flanneld: Flanneld) -> Observation:
    """The same, in a lab with another configuration."""
    lab = spec(backend, api, flanneld)
    return changed(replace(found, spec=lab), MASTER, config=lab.flannel_config)


def failures(found: Observation) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (item.id, str(item.subject)): (item.expected.text, item.seen.text)
        for item in checks.failed(checks.judge(found))
    }


def on_first(found: Observation, **changes: Any) -> Observation:
    return changed(found, ONE, **changes)


def with_leases(found: Observation, *values: str) -> Observation:
    leases = known(found.nodes[MASTER].leases)
    changed_ = tuple(replace(lease, value=value) for lease, value in zip(leases, values, strict=True))
    return changed(found, MASTER, leases=changed_)


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(item, id=f"{item.spec.backend.name} {item.nodes[ONE].version}")
        for item in (UDP, VXLAN, HOST_GW, OLD_VXLAN)
    ],
)
def test_what_a_genuine_flannel_makes_passes_every_check(found: Observation) -> None:
    assert failures(found) == {}


@pytest.mark.parametrize("found", [OUR_WIREGUARD, OUR_IPIP], ids=["wireguard", "ipip"])
def test_what_ours_makes_of_a_tunnel_of_the_kernels_passes_and_without_a_route_fails(
    found: Observation,
) -> None:
    assert failures(found) == {}
    lone = on_first(found, routes=known(found.nodes[ONE].routes)[:2])
    assert set(failures(lone)) == {("routes.overlay", ONE)}


def test_a_genuine_wireguard_has_one_route_for_the_whole_network() -> None:
    # flannel 0.20.2, backend/wireguard/device.go: RouteAdd of the network, SCOPE_LINK.
    genuine = of(OUR_WIREGUARD, {"Type": "wireguard"}, "v3", GENUINE)
    assert set(failures(genuine)) == {("routes.overlay", ONE), ("routes.overlay", TWO)}
    for name in (ONE, TWO):
        routes = (*known(genuine.nodes[name].routes)[:2], "10.2.0.0/16 dev flannel-wg scope link")
        genuine = changed(genuine, name, routes=routes)
    assert failures(genuine) == {}


def test_our_vxlan_is_todays_whose_entries_may_be_marked() -> None:
    ours = of(VXLAN, {"Type": "vxlan"}, "v3", Flanneld())
    routes = tuple(route.replace(" onlink", " proto 241 onlink") for route in known(ours.nodes[ONE].routes))
    assert failures(on_first(ours, routes=routes)) == {}


def test_in_etcds_v2_store_our_lease_is_an_old_flannels_and_our_device_todays() -> None:
    old = of(OLD_VXLAN, {"Type": "vxlan"}, "v2", Flanneld())
    assert {check for check, _ in failures(old)} == {"overlay.address", "routes.overlay"}
    both = replace(old, nodes={**VXLAN.nodes, MASTER: old.nodes[MASTER]})
    assert failures(both) == {}


def test_a_peer_without_a_route_neighbour_or_fdb_entry_fails() -> None:
    lone = on_first(VXLAN, routes=known(VXLAN.nodes[ONE].routes)[:2], neighbours=(), fdb=())
    assert failures(lone) == {
        ("routes.overlay", ONE): (
            "10.2.37.0/24 dev docker0 proto kernel scope link src 10.2.37.1\n"
            "10.2.7.0/24 via 10.2.7.0 dev flannel.1 onlink",
            "10.2.37.0/24 dev docker0 proto kernel scope link src 10.2.37.1",
        ),
        ("overlay.neighbours", ONE): ("10.2.7.0 0a:45:2d:16:30:19", "none"),
        ("overlay.fdb", ONE): ("0a:45:2d:16:30:19 192.168.200.53", "none"),
    }


def test_an_entry_of_a_mac_that_a_peer_had_before_its_reboot_may_be_left_by_flannel_but_not_by_ours() -> None:
    ours = of(VXLAN, {"Type": "vxlan"}, "v3", Flanneld())
    stale = (*known(VXLAN.nodes[ONE].fdb), ("flannel.1", "de:ff:45:5a:09:e5 192.168.200.53"))
    assert failures(on_first(VXLAN, fdb=stale)) == {}
    assert set(failures(on_first(ours, fdb=stale))) == {("overlay.fdb", ONE)}
    elsewhere = (*known(VXLAN.nodes[ONE].fdb), ("docker0", "de:ff:45:5a:09:e5 192.168.200.53"))
    assert failures(on_first(ours, fdb=elsewhere)) == {}


def test_a_lease_with_another_mac_than_the_devices_fails() -> None:
    links = dict(known(VXLAN.nodes[ONE].links))
    links["flannel.1"] = replace(links["flannel.1"], mac="0a:00:00:00:00:01")
    assert set(failures(on_first(VXLAN, links=links))) == {("leases.value", ONE)}


def test_a_host_gw_route_by_way_of_the_wrong_machine_fails() -> None:
    routes = (*known(HOST_GW.nodes[ONE].routes)[:2], "10.2.7.0/24 via 192.168.200.54 dev eth0")
    assert set(failures(on_first(HOST_GW, routes=routes))) == {("routes.overlay", ONE)}


def test_with_direct_routing_peers_on_the_same_network_need_no_tunnel() -> None:
    direct = of(VXLAN, {"Type": "vxlan", "DirectRouting": True}, "v3", GENUINE)
    for name in (ONE, TWO):
        direct = changed(direct, name, routes=HOST_GW.nodes[name].routes, neighbours=(), fdb=())
    assert failures(direct) == {}


@pytest.mark.parametrize(
    ("flanneld", "mark"), [(Flanneld(), ""), (GENUINE, " onlink")], ids=["ours", "genuine"]
)
def test_ipips_direct_routes_are_as_its_daemon_makes_them(flanneld: Flanneld, mark: str) -> None:
    # flannel 0.20.2, backend/ipip/ipip.go: a direct route keeps FLAG_ONLINK.
    direct = of(OUR_IPIP, {"Type": "ipip", "DirectRouting": True}, "v3", flanneld)
    for name in (ONE, TWO):
        routes = [
            re.sub(r"dev flannel\.ipip (.*)onlink", r"dev eth0 \1", route).rstrip() + mark
            if " via " in route and "flannel.ipip" in route
            else route
            for route in known(direct.nodes[name].routes)
        ]
        direct = changed(direct, name, routes=tuple(routes))
    assert "routes.overlay" not in {check for check, _ in failures(direct)}


def test_of_a_backend_that_the_checks_do_not_know_they_compare_what_does_not_depend_on_it() -> None:
    found = of(HOST_GW, {"Type": "extension"}, "v3", Flanneld())
    values = [lease.value.replace("host-gw", "extension") for lease in known(found.nodes[MASTER].leases)]
    found = with_leases(found, *values)
    assert failures(found) == {}
    made = {item.id for item in checks.judge(found)}
    assert {"leases.key", "leases.ttl", "subnet-env.text", "docker0.address", "routes.default"} <= made
    assert not {"leases.value", "routes.overlay"} & made


@pytest.mark.parametrize(
    ("kind", "ttl"),
    # 64, less one for each machine's kernel; with udp, less one for each flanneld as well (0.5.5, 0.20.2).
    [("udp", 60), ("vxlan", 62), ("host-gw", 62)],
)
def test_a_pod_on_another_machine_answers_with_the_ttl_that_the_way_leaves(kind: str, ttl: int) -> None:
    found = replace(observation(), spec=spec({"Type": kind}, "v3", Flanneld()))
    for other in (60, 62, 64):
        seen = changed(found, ONE, pings=(Ping("mysql02", "mysql01", other, ""),))
        pings = checks.judge(seen, checks.chosen(["ping.pods"]))
        assert [ping.ok for ping in pings if ping.subject.names[0] == "mysql02"] == [other == ttl]


def test_a_pod_on_the_same_machine_answers_over_the_bridge_alone() -> None:
    near = replace(pod("mysql02"), node=TWO)
    seen = changed(observation(), TWO, pods=(pod("mysql01"), near))
    seen = changed(seen, TWO, pings=(Ping("mysql01", "mysql02", 64, ""),))
    (ping,) = checks.judge(changed(seen, ONE, pods=(), pings=()), checks.chosen(["ping.pods"]))
    assert ping.ok


def test_a_pod_that_does_not_answer_shows_pings_words() -> None:
    words = "1 packets transmitted, 0 received, 100% packet loss, time 0ms"
    text = f"PING 10.2.39.2 (10.2.39.2) 56(84) bytes of data.\n\n--- 10.2.39.2 ping statistics ---\n{words}\n"
    assert parse_ping("a", "b", Output(1, text, "")) == Ping("a", "b", None, words)
    assert parse_ping("a", "b", Output(0, "64 bytes from 10.2.7.2: icmp_seq=1 ttl=62 time=0.1 ms\n", "")) == (
        Ping("a", "b", 62, "")
    )
    unreachable = Output(2, "", "ping: connect: Network is unreachable\n")
    assert parse_ping("a", "b", unreachable).error == "ping: connect: Network is unreachable"


@pytest.mark.parametrize(
    ("config", "backend"),
    [
        # flannel's documentation: no Backend, or one without these keys, means these.
        ("{}", BackendConfig("udp")),
        ('{"Backend": {"Type": "VXLAN"}}', BackendConfig("vxlan", vni=1)),
        ('{"backend": {"type": "vxlan", "vni": 7, "mtu": 1400}}', BackendConfig("vxlan", vni=7, mtu=1400)),
        (
            '{"Backend": {"Type": "vxlan", "DirectRouting": true}}',
            BackendConfig("vxlan", direct_routing=True),
        ),
        ('{"Backend": {}}', BackendConfig("")),
        ('{"Backend": 3}', BackendConfig("udp")),
    ],
)
def test_the_backend_is_read_as_flannel_reads_it(config: str, backend: BackendConfig) -> None:
    assert backend_of(config) == backend


def test_a_version_says_what_a_flannel_does() -> None:
    assert dialect_of(parse_version("0.5.5")).udp_network
    assert not dialect_of(parse_version("v0.20.2")).udp_network
    # The first release with udp's /32 is 0.11, with vxlan's static entries 0.9, with PublicIPv6 0.15.
    between = dialect_of(parse_version("v0.10.0"))
    assert (between.udp_network, between.vxlan_static, between.public_ipv6) == (True, True, False)
    assert dialect_of(parse_version("v0.15.1")).public_ipv6
    # 0.18 is the first with etcd's v3 API.
    assert [etcd_api_of(parse_version(said)) for said in ("v0.17.0", "v0.18.0")] == ["v2", "v3"]


def test_a_daemon_of_somebodys_own_is_not_taken_for_an_old_flannel() -> None:
    for said in ("mydaemon 0.1", "devel"):
        assert dialect_of(parse_version(said)) == dialect_of(parse_version("v0.20.2"))
        assert etcd_api_of(parse_version(said)) == "v3"


def test_in_the_v2_store_ours_writes_the_leases_of_that_time() -> None:
    assert (our_dialect("v2").public_ipv6, our_dialect("v2").vni) == (False, False)
    assert our_dialect("v3").public_ipv6


def test_neighbours_and_fdb_entries_are_read_from_iproute2() -> None:
    # iproute2 6.15's output for `ip -4 -json neighbour show` and `bridge -json fdb show`.
    neighbours = [
        {"dst": "10.2.7.0", "dev": "flannel.1", "lladdr": "0a:45:2d:16:30:19", "state": ["PERMANENT"]},
        {"dst": "192.168.200.51", "dev": "eth0", "lladdr": "02:42:c0:a8:c8:33", "state": ["REACHABLE"]},
        {"dst": "192.168.200.9", "dev": "eth0", "state": ["FAILED"]},
    ]
    assert parse_neighbours(json.dumps(neighbours)) == (("flannel.1", "10.2.7.0 0a:45:2d:16:30:19"),)
    mac, dst = "0a:45:2d:16:30:19", "192.168.200.53"
    fdb = [
        {"mac": mac, "ifname": "flannel.1", "dst": dst, "flags": ["self"], "state": "permanent"},
        {"mac": mac, "ifname": "flannel.1", "dst": dst, "flags": ["self", "extern_learn"], "state": ""},
        {"mac": mac, "ifname": "flannel.1", "dst": "192.168.200.54", "flags": ["self"], "state": ""},
        {"mac": "33:33:00:00:00:01", "ifname": "eth0", "flags": ["self"], "state": "permanent"},
    ]
    assert parse_fdb(json.dumps(fdb)) == (("flannel.1", f"{mac} {dst}"),) * 2


@pytest.mark.parametrize("parse", [parse_neighbours, parse_fdb, parse_leases_v2])
@pytest.mark.parametrize("text", ["", "no JSON", "[3]", "7"])
def test_what_is_not_the_programs_answer_is_reported(parse: Any, text: str) -> None:
    with pytest.raises(LabError, match="reading the"):
        parse(text)


def test_leases_are_read_from_etcds_v2_api() -> None:
    # etcd 3.5.16 with --enable-v2, after flannel 0.5.5 wrote its lease.
    key, value = f"{FOLDER}/10.2.58.0-24", '{"PublicIP":"192.168.200.52"}'
    node = {"key": key, "value": value, "expiration": "2026-11-24T07:29:11.166823301Z", "ttl": 86397}
    node |= {"modifiedIndex": 6, "createdIndex": 6}
    answer = {"action": "get", "node": {"key": FOLDER, "dir": True, "nodes": [node]}}
    assert parse_leases_v2(json.dumps(answer)) == (Lease(key, IPv4Network("10.2.58.0/24"), value, 86397),)
    # A reservation has no time to live.
    del node["ttl"]
    assert parse_leases_v2(json.dumps(answer))[0].ttl == -1
    gone = '{"errorCode":100,"message":"Key not found","cause":"/coreos.com/network/subnets","index":4}'
    assert parse_leases_v2(gone) == ()


NEAR = Peer(IPv4Network("10.2.7.0/24"), IPv4Address("192.168.200.53"), "0a:45:2d:16:30:19")
FAR = Peer(IPv4Network("10.2.8.0/24"), IPv4Address("192.168.201.54"), "0a:45:2d:16:30:20", direct=False)


def forms(kind: str, *, direct_routing: bool = False) -> Forms:
    """What a backend makes of a peer on the same segment and of one behind a router."""
    own = Member(IPv4Address("192.168.200.52"), IPv4Network("10.2.37.0/24"), 1500, "1a:18:b1:6e:42:dc")
    config = BackendConfig(kind, direct_routing=direct_routing)
    overlay = Overlay(config, OURS, IPv4Network("10.2.0.0/16"), own, (NEAR, FAR))
    made = backend(kind).forms
    assert made is not None
    return made(overlay)


def test_direct_routing_leads_past_the_tunnel_only_where_no_router_is_between() -> None:
    # flannel's docs/backends.md: "VXLAN will only be used to encapsulate packets to hosts on different
    # subnets."
    vxlan = forms("vxlan", direct_routing=True)
    assert set(vxlan.routes or ()) == {
        "10.2.7.0/24 via 192.168.200.53 dev eth0",
        "10.2.8.0/24 via 10.2.8.0 dev flannel.1 onlink",
    }
    assert set(vxlan.neighbours or ()) == {f"10.2.8.0 {FAR.mac}"}
    assert set(vxlan.fdb or ()) == {f"{FAR.mac} 192.168.201.54"}
    assert set(forms("ipip", direct_routing=True).routes or ()) == {
        "10.2.7.0/24 via 192.168.200.53 dev eth0",
        "10.2.8.0/24 via 192.168.201.54 dev flannel.ipip onlink",
    }


def test_without_a_tunnel_nothing_leads_to_a_peer_behind_a_router() -> None:
    # docs/backends.md: host-gw "Requires direct layer2 connectivity between hosts running flannel."
    assert set(forms("host-gw").routes or ()) == {"10.2.7.0/24 via 192.168.200.53 dev eth0"}


@pytest.mark.parametrize(
    ("backend", "port"),
    [
        (None, 8285),
        ({"Type": "udp", "Port": 9999}, 9999),
        ({"type": "udp", "port": 9999}, 9999),  # keys in any case, as flannel takes them
        ({"Type": "vxlan"}, 8472),
        ({"Type": "vxlan", "Port": 4789}, 4789),
        ({"Type": "vxlan", "Port": 0}, 8472),  # the kernel's own
        ({"Type": "wireguard", "ListenPort": 1}, 1),
        ({"Type": "host-gw"}, None),
    ],
)
def test_the_port_of_a_tunnel_is_the_configurations_or_flannels(backend, port):
    # flannel's Documentation/backends.md.
    config = {"Network": "10.2.0.0/16", **({"Backend": backend} if backend else {})}
    lab = tutorial().model_copy(update={"flannel_config": json.dumps(config)})
    assert lab.tunnel_port == port
