"""What flanneld's kernel package makes of a kernel, as `ip` and `bridge` tell it."""

import json
import re
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import pytest

from lab import wait
from tests.kernel.harness import Host, Sandbox, eventually

pytestmark = pytest.mark.kernel

MAC = "82:99:9b:1a:0b:01"

PRELUDE = """
import json, logging, socket, threading
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from flanneld_py.errors import Fatal
from flanneld_py.kernel.entries import *
from flanneld_py.kernel.links import *
from flanneld_py.kernel.offload import *
from flanneld_py.kernel.own_devices import establish
from flanneld_py.kernel.table import perform, seen
from flanneld_py.kernel.desired import DesiredDevice

logging.basicConfig(format="%(message)s")
eth0 = link("eth0").index
device = getattr(link("flannel.1"), "index", 0)

def peer(network, mac, remote):
    destination = ip_network(network)
    gateway = destination.network_address
    fdb = FdbEntry(device, mac, ip_address(remote))
    return [fdb, Neighbour(device, gateway, mac), Route(destination, device, gateway, onlink=True)]

def do(*changes):
    return [(changes.index(change), error.errno, error.strerror) for change, error in perform(changes)]

def wanted(*entries):
    return {slot(entry): entry for entry in entries}

def reconcile(*entries):
    "How many changes it takes, and how many are left then."
    goal = wanted(*entries)
    changes = plan(goal, seen([device], wanted=goal))
    assert perform(changes) == []
    return [len(changes), len(plan(goal, seen([device], wanted=goal)))]

def set_up(name, addresses, mtu=0, queue_length=0):
    establish(DesiredDevice(name, link(name).index, mtu, tuple(addresses), queue_length=queue_length))

def attempt(action, *arguments):
    try:
        return action(*arguments)
    except (Fatal, OSError) as error:
        return str(error)

PEER = peer("10.5.57.0/24", "82:99:9b:1a:0b:01", "192.0.2.57")
PEER6 = peer("2001:db8:57::/64", "82:99:9b:1a:0b:06", "192.0.2.57")
"""


class Machine(Host):
    def python(self, program: str) -> Any:
        """What `result` is at the end of the program."""
        text = f"{PRELUDE}\n{dedent(program)}\nprint(json.dumps(result))"
        done = self.run("env", "PYTHONPATH=/usr/lib/flanneld", "python3", "-c", text)
        return json.loads(done.text.splitlines()[-1])

    def says(self, *argv: str) -> list[str]:
        return [" ".join(line.split()) for line in self.run(*argv).text.splitlines()]

    def routes(self, *selected: str) -> list[str]:
        return self.says("ip", "route", "show", *selected)

    def has_carrier(self) -> bool | wait.NotYet:
        """Until then routes are shown as "linkdown"."""
        found = self.link("eth0")
        return (found is not None and found["operstate"] == "UP") or wait.NotYet(str(found))

    def held(self, device: str) -> list[str]:
        """The addresses of a device, but for link-local ones."""
        found = self.link(device)
        assert found is not None
        return [
            f"{item['local']}/{item['prefixlen']}" for item in found["addr_info"] if item["scope"] == "global"
        ]

    def everything(self) -> list[str]:
        """All routes, neighbours and FDB entries but those that the kernel makes and forgets by itself."""
        lines = [
            *self.says("ip", "-4", "route"), *self.says("ip", "-6", "route"),
            *self.says("ip", "-4", "neigh"), *self.says("ip", "-6", "neigh"),
            *self.says("bridge", "fdb", "show", "dev", "flannel.1"),
        ]  # fmt: skip
        # What the kernel floods to a peer, of IPv6 say, makes it look for that peer's MAC at any time.
        passing = ("fe80::", " INCOMPLETE", " FAILED")
        return [line for line in lines if not any(word in line for word in passing)]


@pytest.fixture
def bare(container: Sandbox) -> Iterator[Machine]:
    """A machine with eth0, whose addresses are of no other."""
    container.run("ip", "netns", "add", "bare")
    try:
        made = Machine(container, "bare", "192.0.2.1")
        script = """
            ip link set lo up
            ip link add eth0 type veth peer name wire
            ip address add 192.0.2.1/24 dev eth0
            ip address add 2001:db8::1/64 dev eth0 nodad
            ip link set eth0 up
            ip link set wire up
        """
        made.run("sh", "-ec", script)
        eventually(made.has_carrier, "eth0 to have a carrier")
        yield made
    finally:
        container.run("ip", "netns", "delete", "bare")


@pytest.fixture
def machine(bare: Machine) -> Machine:
    """The same with flannel.1, made by `ip`."""
    script = """
        ip link add flannel.1 type vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472 nolearning
        ip address add 10.5.1.0/32 dev flannel.1
        ip link set flannel.1 up
    """
    bare.run("sh", "-ec", script)
    return bare


# Entries


def test_what_is_put_is_what_the_kernel_shows_with_our_mark(machine):
    assert machine.python("result = do(*map(Add, PEER))") == []
    assert machine.routes("proto", "241") == ["10.5.57.0/24 via 10.5.57.0 dev flannel.1 onlink"]
    (neighbour,) = machine.says("ip", "neigh", "show", "dev", "flannel.1")
    assert neighbour == f"10.5.57.0 lladdr {MAC} PERMANENT proto 241"
    shown = machine.says("bridge", "fdb", "show", "dev", "flannel.1")
    assert shown == [f"{MAC} dst 192.0.2.57 self extern_learn permanent"]


def test_ipv6_is_as_ipv4(machine):
    assert machine.python("result = do(*map(Add, PEER6))") == []
    (route,) = machine.says("ip", "-6", "route", "show", "proto", "241")
    assert route.startswith("2001:db8:57::/64 via 2001:db8:57:: dev flannel.1 metric 1024 onlink")
    neighbours = machine.says("ip", "-6", "neigh", "show", "dev", "flannel.1")
    assert "2001:db8:57:: lladdr 82:99:9b:1a:0b:06 PERMANENT proto 241" in neighbours


def test_a_peer_that_is_reached_by_ipv6_has_its_fdb_entry(bare):
    result = bare.python("""
        made = ensure_vxlan(VxlanLink("flannel-v6.1", 1, eth0, IPv6Address("2001:db8::1")))
        set_up(made.name, [])
        result = do(Add(FdbEntry(made.index, "82:99:9b:1a:0b:01", ip_address("2001:db8::57"))))
    """)
    assert result == []
    (shown,) = bare.says("bridge", "fdb", "show", "dev", "flannel-v6.1")
    assert shown == f"{MAC} dst 2001:db8::57 self extern_learn permanent"


def test_what_was_put_can_be_deleted_and_nothing_of_it_stays(machine):
    before = machine.everything()
    result = machine.python("""
        everything = PEER + PEER6 + [Route(ip_network("10.5.60.0/24"), eth0, ip_address("192.0.2.60"))]
        result = [do(*map(Add, everything)), do(*map(Remove, everything))]
    """)
    assert result == [[], []]
    assert machine.everything() == before


def test_to_delete_what_is_not_there_is_no_failure(machine):
    assert machine.python("result = do(*map(Remove, PEER + PEER6))") == []
    gone = "result = do(*(Remove(replace(entry, device=99)) for entry in PEER + PEER6))"
    assert machine.python(gone) == []


def test_a_direct_route_and_one_on_the_devices_own_link(machine):
    result = machine.python("""
        direct = Route(ip_network("10.5.60.0/24"), eth0, ip_address("192.0.2.60"))
        link_only = Route(ip_network("10.5.61.0/24"), eth0, source=ip_address("10.5.1.0"))
        result = [reconcile(direct, link_only), do(Remove(link_only))]
    """)
    assert result == [[2, 0], []]
    assert machine.routes("proto", "241") == ["10.5.60.0/24 via 192.0.2.60 dev eth0"]


def test_reconciling_twice_changes_nothing_the_second_time(machine):
    assert machine.python("result = reconcile(*PEER, *PEER6), reconcile(*PEER, *PEER6)") == [[6, 0], [0, 0]]


def test_what_is_left_of_peers_of_the_past_goes(machine):
    before = machine.everything()
    assert machine.python("result = reconcile(*PEER, *PEER6), reconcile()") == [[6, 0], [6, 0]]
    assert machine.everything() == before


def test_what_others_made_stays(machine):
    script = f"""
        ip route add 10.9.0.0/24 via 192.0.2.9
        ip route add 10.5.58.0/24 via 10.5.58.0 dev flannel.1 onlink
        ip route add blackhole 10.9.1.0/24
        ip route add 10.9.2.0/24 nexthop via 192.0.2.8 dev eth0 nexthop via 192.0.2.9 dev eth0
        ip -6 route add 2001:db8:9::/64 via 2001:db8::9
        ip neigh add 10.5.58.0 lladdr {MAC} nud permanent dev flannel.1
        bridge fdb add {MAC} dev flannel.1 dst 192.0.2.58 self permanent
        bridge fdb append 00:00:00:00:00:00 dev flannel.1 dst 192.0.2.58
    """
    machine.run("sh", "-ec", script)
    before = machine.everything()
    own = 'peer("10.5.59.0/24", "82:99:9b:1a:0b:59", "192.0.2.59")'
    assert machine.python(f"result = reconcile(*{own}), reconcile()") == [[3, 0], [3, 0]]
    assert machine.everything() == before


FOREIGN = [
    ["via 192.0.2.99"],
    ["via 192.0.2.99 proto static"],
    ["dev eth0 scope link"],
    ["via 192.0.2.99 metric 100"],
    ["via 192.0.2.98", "via 192.0.2.99"],
    ["via 192.0.2.98 metric 7", "via 192.0.2.99 metric 8", "via 192.0.2.97"],
    ["nexthop via 192.0.2.98 dev eth0 nexthop via 192.0.2.99 dev eth0"],
    ["via 192.0.2.1 table 100", "via 192.0.2.60"],
    ["via 192.0.2.60 mtu 1200 proto 241"],
]


@pytest.mark.parametrize("there", FOREIGN, ids=" and ".join)
def test_a_wrong_next_hop_is_replaced_and_nothing_else_of_it_stays(machine, there):
    there = [line.replace("via 192.0.2.1 ", "via 192.0.2.60 ") for line in there]
    for line in there:
        machine.run("ip", "route", "append", "10.5.60.0/24", *line.split())
    machine.run("ip", "route", "add", "blackhole", "10.5.61.0/24")
    result = machine.python("""
        routes = [Route(ip_network(f"10.5.{n}.0/24"), eth0, ip_address("192.0.2.60")) for n in (60, 61)]
        result = reconcile(*routes)[1]
    """)
    assert result == 0
    for network in ("10.5.60.0/24", "10.5.61.0/24"):
        assert machine.routes(network) == [f"{network} via 192.0.2.60 dev eth0 proto 241"]


FOREIGN_IPV6 = [
    ["via 2001:db8::99"],
    ["dev eth0"],
    ["via 2001:db8::99 metric 100"],
    ["via 2001:db8::98", "via 2001:db8::99"],
    ["nexthop via 2001:db8::98 dev eth0 nexthop via 2001:db8::99 dev eth0"],
    ["via 2001:db8::98 metric 7", "via 2001:db8::99 metric 8"],
]


@pytest.mark.parametrize("there", FOREIGN_IPV6, ids=" and ".join)
def test_a_wrong_next_hop_of_ipv6_is_replaced_and_nothing_else_of_it_stays(machine, there):
    for line in there:
        machine.run("ip", "-6", "route", "append", "2001:db8:60::/64", *line.split())
    result = machine.python("""
        route = Route(ip_network("2001:db8:60::/64"), eth0, ip_address("2001:db8::60"))
        result = reconcile(route)[1]
    """)
    assert result == 0
    (left,) = machine.says("ip", "-6", "route", "show", "2001:db8:60::/64")
    assert left.startswith("2001:db8:60::/64 via 2001:db8::60 dev eth0 proto 241 metric 1024")


def test_entries_that_another_flannel_made_without_the_mark_get_it(machine):
    script = f"""
        ip route add 10.5.57.0/24 via 10.5.57.0 dev flannel.1 onlink
        ip neigh add 10.5.57.0 lladdr {MAC} nud permanent dev flannel.1
        bridge fdb add {MAC} dev flannel.1 dst 192.0.2.57 self permanent
    """
    machine.run("sh", "-ec", script)
    assert machine.python("result = reconcile(*PEER)[1], reconcile(), reconcile(*PEER)") == [
        0,
        [3, 0],
        [3, 0],
    ]


def test_what_somebody_changed_in_our_entries_is_changed_back(machine):
    machine.python("result = reconcile(*PEER)")
    script = f"""
        ip route change 10.5.57.0/24 via 10.5.57.0 dev flannel.1 onlink proto 241 mtu 1200
        ip neigh change 10.5.57.0 lladdr {MAC} nud stale dev flannel.1
        bridge fdb replace {MAC} dev flannel.1 dst 192.0.2.58 self permanent extern_learn
    """
    machine.run("sh", "-ec", script)
    assert machine.python("result = reconcile(*PEER)[1]") == 0
    assert machine.routes("proto", "241") == ["10.5.57.0/24 via 10.5.57.0 dev flannel.1 onlink"]
    assert machine.says("ip", "neigh", "show", "dev", "flannel.1")[0].endswith("PERMANENT proto 241")
    assert "dst 192.0.2.57" in machine.says("bridge", "fdb", "show", "dev", "flannel.1")[0]


def test_a_peer_that_moves_is_followed_without_touching_its_route(machine):
    moved = 'peer("10.5.57.0/24", "82:99:9b:1a:0b:02", "192.0.2.58")'
    assert machine.python(f"result = reconcile(*PEER), reconcile(*{moved})") == [[3, 0], [3, 0]]
    shown = machine.says("bridge", "fdb", "show", "dev", "flannel.1")
    assert shown == ["82:99:9b:1a:0b:02 dst 192.0.2.58 self extern_learn permanent"]


# Failures


def test_a_failure_is_told_of_the_change_that_failed_and_stops_no_other(machine):
    result = machine.python("""
        unreachable = Route(ip_network("10.5.60.0/24"), eth0, ip_address("203.0.113.7"))
        result = do(*map(Add, [*PEER, unreachable, replace(PEER[1], device=99), *PEER6]))
    """)
    said = "Setting route 10.5.60.0/24 via 203.0.113.7 dev eth0: Network is unreachable"
    assert [number for number, _, _ in result] == [3, 4]
    assert result[0][1:] == [101, f"{said} (Nexthop has invalid gateway)"]
    assert result[1][2] == f"Setting neighbour 10.5.57.0 lladdr {MAC} dev #99: No such device"
    assert len(machine.routes("proto", "241")) == 1
    assert len(machine.says("ip", "-6", "route", "show", "proto", "241")) == 1


@pytest.mark.thorough
def test_when_all_of_thousands_fail_each_of_them_is_told(machine):
    result = machine.python("""
        routes = [Route(ip_network((0x0A000000 + n * 256, 24)), eth0, ip_address("203.0.113.7"))
                  for n in range(3000)]
        result = [number for number, _, _ in do(*map(Add, routes))]
    """)
    assert result == list(range(3000))


@pytest.mark.thorough
def test_answers_that_do_not_fit_into_the_sockets_buffer_are_asked_for_again(machine):
    result = machine.python("""
        from flanneld_py.kernel import channel
        channel.AT_ONCE = 2001
        routes = [Route(ip_network((0x0A000000 + n * 256, 24)), eth0, ip_address("203.0.113.7"))
                  for n in range(2000)]
        good = Route(ip_network("10.99.0.0/24"), eth0, ip_address("192.0.2.60"))
        result = [number for number, _, _ in do(*map(Add, [*routes[:1000], good, *routes[1000:]]))]
    """)
    assert result == [*range(1000), *range(1001, 2001)]
    assert machine.routes("proto", "241") == ["10.99.0.0/24 via 192.0.2.60 dev eth0"]


def test_of_a_device_that_is_gone_nothing_is_seen(machine):
    assert machine.python("result = len(seen([99]))") == 0


# Many

THOUSANDS = """
def peers(count, remote=0):
    for n in range(count):
        mac = (0x020000000000 + n).to_bytes(6, "big").hex(":")
        subnet = ip_network((0x0A100000 + n * 256, 24))
        remote_address = str(IPv4Address(0xC0000202 + (n + remote) % 250))
        yield from peer(str(subnet), mac, remote_address)
"""


@pytest.mark.thorough
def test_twelve_thousand_entries_are_all_there_and_all_go(machine):
    result = machine.python(f"""{THOUSANDS}
everything = list(peers(4000))
result = reconcile(*everything), reconcile(*everything), reconcile(*peers(4000, remote=1))
    """)
    assert result == [[12_000, 0], [0, 0], [4000, 0]]
    assert len(machine.routes("proto", "241")) == 4000
    assert len(machine.says("bridge", "fdb", "show", "dev", "flannel.1")) == 4000
    assert machine.python("result = reconcile()") == [12_000, 0]
    assert machine.routes("proto", "241") == []


@pytest.mark.thorough
def test_what_is_there_is_seen_while_other_things_change(machine):
    result = machine.python(f"""{THOUSANDS}
mine = list(peers(1000))
perform([Add(entry) for entry in mine])
goal = wanted(*mine)
done = threading.Event()
def churn():
    other = [Route(ip_network((0x14000000 + n * 256, 24)), eth0, ip_address("192.0.2.9"), protocol=4)
             for n in range(200)]
    while not done.is_set():
        perform([Add(entry) for entry in other])
        perform([Remove(entry) for entry in other])
busy = threading.Thread(target=churn)
busy.start()
result = [plan(goal, seen([device], wanted=goal)) for _ in range(20)]
done.set()
busy.join()
    """)
    assert result == [[]] * 20


# Devices


def test_a_vxlan_device_is_as_flannels(bare):
    result = bare.python("""
        made = ensure_vxlan(VxlanLink("flannel.1", 1, eth0, IPv4Address("192.0.2.1"), mtu=1450))
        set_up(made.name, [ip_interface("10.5.1.0/32")])
        result = [made.created, made.mtu, made.mac]
    """)
    assert result[:2] == [True, 1450]
    assert int(result[2][:2], 16) & 0b11 == 0b10  # locally administered, of one machine
    shown = bare.run("ip", "-d", "link", "show", "flannel.1").text
    vxlan = r"vxlan id 1 local 192\.0\.2\.1 dev eth0 srcport 0 0 dstport 8472 (\w+ )*nolearning "
    assert re.search(vxlan, shown), shown
    assert f"link/ether {result[2]}" in shown
    assert "state UNKNOWN" in shown  # up: a device without a wire does not know
    assert bare.held("flannel.1") == ["10.5.1.0/32"]
    assert bare.says("cat", "/proc/sys/net/ipv6/conf/flannel.1/accept_ra") == ["0"]
    # NET_ADDR_SET of linux/netdevice.h: what the kernel made up udev may change later (flannel #1155).
    assert bare.sysfs("class/net/flannel.1/addr_assign_type") == "3"


def test_a_device_that_is_as_wanted_is_kept_with_its_mac_and_its_entries(machine):
    result = machine.python("""
        perform(list(map(Add, PEER)))
        kept = ensure_vxlan(VxlanLink("flannel.1", 1, eth0, IPv4Address("192.0.2.1"), port=8472, mtu=1400))
        result = [kept.created, kept.index == device, kept.mac == link("flannel.1").mac, kept.mtu,
                  reconcile(*PEER)]
    """)
    assert result == [False, True, True, 1400, [0, 0]]


@pytest.mark.parametrize(
    ("change", "reason", "shown"),
    [
        ("port=4789", "port: 8472, not 4789", "dstport 4789"),
        ("gbp=True", "gbp: False, not True", " gbp "),
        ("learning=True", "learning: False, not True", "vxlan id 1"),
        ("vni=7", "vni: 1, not 7", "vxlan id 7"),
        ('local=IPv4Address("192.0.2.2")', "vtep (external) IP: 192.0.2.1, not 192.0.2.2", "local 192.0.2.2"),
    ],
)
def test_a_device_that_is_not_as_wanted_is_made_anew_with_its_mac(machine, change, reason, shown):
    result = machine.python(f"""
        before = link("flannel.1")
        wanted = VxlanLink("flannel.1", 1, eth0, IPv4Address("192.0.2.1"))
        made = ensure_vxlan(replace(wanted, {change}))
        result = [made.created, made.reason, made.mac == before.mac]
    """)
    assert result == [True, reason, True]
    assert shown in machine.run("ip", "-d", "link", "show", "flannel.1").text


def test_a_device_of_another_kind_is_made_anew(bare):
    bare.run("ip", "link", "add", "flannel.1", "type", "bridge")
    result = bare.python("""
        made = ensure_vxlan(VxlanLink("flannel.1", 1, eth0, IPv4Address("192.0.2.1")))
        result = [made.created, made.reason]
    """)
    assert result == [True, "link type: bridge, not vxlan"]


def test_a_second_device_of_one_vni_and_port_is_refused_with_the_kernels_reason(machine):
    result = machine.python("""
        other = VxlanLink("other", 1, eth0, IPv4Address("192.0.2.1"))
        result = attempt(ensure_vxlan, other)
    """)
    assert result.startswith(
        "Making other: File exists (A VXLAN device with the specified VNI already exists)"
    )
    assert "ip -d link show type vxlan" in result


def test_a_kernel_without_ipip_is_named_as_the_reason(bare):
    if (
        bare.run("ip", "link", "add", "probe", "type", "ipip", "local", "192.0.2.1", check=False).exit_code
        == 0
    ):
        pytest.skip("this kernel has ipip devices")
    result = bare.python('result = attempt(ensure_ipip, IpipLink("flannel.ipip", IPv4Address("192.0.2.1")))')
    assert result.startswith("This kernel has no ipip devices, so the backend ipip cannot work here: load")


def test_a_device_has_one_address_of_a_family(machine):
    machine.run("ip", "address", "flush", "dev", "flannel.1")  # what bears no mark would stay
    machine.python("""
        set_up("flannel.1", [ip_interface("10.5.1.0/32"), ip_interface("2001:db8:1::/128")], mtu=1400)
        set_up("flannel.1", [ip_interface("10.5.2.0/32"), ip_interface("2001:db8:2::/128")], queue_length=500)
        result = None
    """)
    found = machine.link("flannel.1")
    assert found is not None
    held = [
        f"{item['local']}/{item['prefixlen']}" for item in found["addr_info"] if item["scope"] == "global"
    ]
    assert held == ["10.5.2.0/32", "2001:db8:2::/128"]
    assert (found["mtu"], found["txqlen"]) == (1400, 500)
    # Nobody else can have it, so nothing waits for duplicate address detection.
    assert "tentative" not in machine.run("ip", "-6", "address", "show", "scope", "global").text


def test_a_device_is_found_and_deleted_by_its_name(machine):
    result = machine.python("""
        result = [link("flannel.1").up, delete_link("flannel.1"), link("flannel.1"), delete_link("flannel.1")]
    """)
    assert result == [True, True, None, False]


def test_transmit_checksum_offload_can_be_turned_off_and_on(machine):
    result = machine.python("""
        result = [tx_checksum("flannel.1")]
        for on in (False, True):
            set_tx_checksum("flannel.1", on)
            result.append(tx_checksum("flannel.1"))
    """)
    assert result == [True, False, True]


def test_a_device_without_ethtool_is_an_error_that_names_it(machine):
    result = machine.python('result = attempt(set_tx_checksum, "nope", False)')
    assert result.endswith("Changing the transmit checksum offload of nope: No such device")
