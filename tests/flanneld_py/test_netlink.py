"""Entries, devices and addresses as the kernel's headers lay them out."""

import struct
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.kernel import addresses, devices
from flanneld_py.kernel.devices import IpipLink, VxlanLink
from flanneld_py.kernel.entries import Add, Change, Entry, FdbEntry, Neighbour, Remove, Route, SeenEntry
from flanneld_py.kernel.netlink import (
    Message,
    NetlinkRefusal,
    Request,
    attribute,
    attributes,
    messages,
    refusal,
)
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    blackhole,
    dump_fdb,
    dump_neighbours,
    dump_routes,
    encode,
    seen_neighbour,
    seen_route,
)

pytestmark = pytest.mark.skipif(
    sys.byteorder == "big", reason="the bytes below are of a little-endian machine"
)

MAC = "82:99:9b:1a:0b:01"
NETWORK = ip_network("10.5.57.0/24")
GATEWAY = ip_address("10.5.57.0")
ROUTE = Route(NETWORK, 7, GATEWAY, onlink=True)
ROUTE6 = Route(ip_network("2001:db8:57::/64"), 7, ip_address("2001:db8:57::"), onlink=True)
GATEWAY6_BYTES = "2001 0db8 0057 0000 0000 0000 0000 0000"

# struct rtmsg (linux/rtnetlink.h) is family, dst_len, src_len, tos, table, protocol, scope, type, flags;
# struct ndmsg (linux/neighbour.h) is family, 3 bytes of nothing, index, state, flags, type.
LAYOUTS: list[tuple[Change, int, int, str]] = [
    (
        Add(ROUTE), 24, 0x500,  # RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE
        "02 18 00 00 fe f1 00 01 04000000"  # /24, main, proto 241, universe, unicast, RTNH_F_ONLINK
        "0800 0100 0a053900  0800 0400 07000000  0800 0500 0a053900",  # RTA_DST, RTA_OIF, RTA_GATEWAY
    ),
    (
        Add(Route(NETWORK, 7, source=IPv4Address("10.5.1.0"))), 24, 0x500,
        "02 18 00 00 fe f1 fd 01 00000000"  # RT_SCOPE_LINK
        "0800 0100 0a053900  0800 0400 07000000  0800 0700 0a050100",  # RTA_PREFSRC
    ),
    (
        Add(ROUTE6), 24, 0x500,
        "0a 40 00 00 fe f1 00 01 04000000"
        f"1400 0100 {GATEWAY6_BYTES}  0800 0400 07000000  1400 0500 {GATEWAY6_BYTES}"
        "0800 0600 00040000",  # RTA_PRIORITY 1024, which is IPv6's default
    ),
    (
        Remove(ROUTE), 25, 0,  # RTM_DELROUTE; RT_SCOPE_NOWHERE and no type: whatever they are
        "02 18 00 00 fe f1 ff 00 00000000"
        "0800 0100 0a053900  0800 0400 07000000  0800 0500 0a053900",
    ),
    (
        Add(Neighbour(7, GATEWAY, MAC)), 28, 0x500,  # RTM_NEWNEIGH
        "02 000000 07000000 8000 00 00"  # NUD_PERMANENT
        "0800 0100 0a053900  0a00 0200 82999b1a0b01 0000  0500 0c00 f1 000000",  # NDA_DST, _LLADDR, _PROTOCOL
    ),
    (
        Remove(Neighbour(7, GATEWAY, MAC)), 29, 0,
        "02 000000 07000000 8000 00 00  0800 0100 0a053900",
    ),
    (
        Add(FdbEntry(7, MAC, IPv4Address("192.0.2.57"))), 28, 0x500,
        "07 000000 07000000 8000 12 00"  # AF_BRIDGE, NUD_PERMANENT, NTF_SELF | NTF_EXT_LEARNED
        "0a00 0200 82999b1a0b01 0000  0800 0100 c0000239",
    ),
    (
        Add(FdbEntry(7, MAC, IPv6Address("2001:db8:57::"))), 28, 0x500,
        "07 000000 07000000 8000 12 00"
        f"0a00 0200 82999b1a0b01 0000  1400 0100 {GATEWAY6_BYTES}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "kind", "flags", "payload"), LAYOUTS, ids=lambda value: str(value)[:50])
def test_a_change_is_laid_out_as_the_headers_say(change: Change, kind: int, flags: int, payload: str):
    assert encode(change) == Request(kind, flags, bytes.fromhex(payload))


def test_a_request_has_its_length_and_number_and_asks_for_an_answer_only_if_told_to():
    request = Request(24, 0x500, b"\1\2\3\4")
    assert request.frame(9) == bytes.fromhex("14000000 1800 0105 09000000 00000000 01020304")
    assert request.frame(9, acknowledge=True) == bytes.fromhex(
        "14000000 1800 0505 09000000 00000000 01020304"
    )


@pytest.mark.parametrize(
    ("request_", "payload"),
    [
        (dump_routes(AF_INET), "02 00 00 00 00 00 00 00 00000000  0800 0f00 fe000000"),  # RTA_TABLE main
        (dump_neighbours(AF_INET6, 7), "0a 000000 00000000 0000 00 00  0800 0800 07000000"),  # NDA_IFINDEX
        (dump_fdb(7), "07 000000 07000000 0000 00 00"),
    ],
)
def test_a_dump_asks_for_no_more_than_what_is_needed(request_: Request, payload: str):
    assert request_.flags == 0x300  # NLM_F_DUMP
    assert request_.payload == bytes.fromhex(payload)


def test_a_route_of_two_families_is_refused():
    with pytest.raises(ValueError, match=r"route 10\.5\.57\.0/24 via 2001:db8::1 dev #7: .*address family"):
        encode(Add(Route(NETWORK, 7, ip_address("2001:db8::1"))))


# What is written is what is read.

INDICES = st.integers(1, 2**31 - 1)
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    version: Literal[4, 6] = draw(st.sampled_from((4, 6)))
    address = st.ip_addresses(v=version)
    kind = draw(st.sampled_from([Route, Neighbour, FdbEntry]))
    if kind is Neighbour:
        return Neighbour(draw(INDICES), draw(address), draw(MACS))
    if kind is FdbEntry:
        return FdbEntry(draw(INDICES), draw(MACS), draw(address))
    network = ip_network((draw(address), draw(st.integers(0, 32 if version == 4 else 128))), strict=False)
    gateway, source = draw(st.none() | address), draw(st.none() | address)
    metric = draw(st.integers(0, 2**32 - 1).filter(lambda metric: metric != 1024))
    return Route(network, draw(INDICES), gateway, source, draw(st.booleans()), metric)


def read(payload: bytes) -> SeenEntry | None:
    """As the kernel lists it: the same layout as that of the request."""
    return seen_neighbour(payload, 0, len(payload))


@given(entries())
def test_what_is_put_is_seen_as_it_was_and_as_ours(entry):
    payload = encode(Add(entry)).payload
    decode = seen_route if isinstance(entry, Route) else seen_neighbour
    assert len(payload) % 4 == 0
    assert decode(payload, 0, len(payload)) == SeenEntry(entry, True)


# What others made


def route(fields: str, *others: bytes) -> SeenEntry | None:
    payload = bytes.fromhex(fields) + attribute(1, GATEWAY.packed) + b"".join(others)
    return seen_route(payload, 0, len(payload))


OIF = attribute(4, struct.pack("=I", 7))


def test_a_route_without_the_mark_is_foreign():
    assert route("02 18 00 00 fe 03 00 01 00000000", OIF) == SeenEntry(Route(NETWORK, 7, protocol=3), False)


@pytest.mark.parametrize(
    ("fields", "others"),
    [
        ("02 18 00 00 ff f1 00 01 00000000", []),  # table local
        ("02 18 00 00 fc f1 00 01 00000000", [attribute(15, struct.pack("=I", 1000))]),  # RTA_TABLE
        ("02 18 00 10 fe f1 00 01 00000000", []),  # TOS
        ("02 18 08 00 fe f1 00 01 00000000", []),  # from a source
        ("02 18 00 00 fe f1 00 01 00020000", []),  # RTM_F_CLONED
        ("80 18 00 00 fe f1 00 01 00000000", []),  # another family
    ],
)
def test_routes_that_rival_none_of_ours_are_not_seen(fields: str, others: list[bytes]):
    assert route(fields, OIF, *others) is None


@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("06", b""),  # blackhole
        ("01", attribute(8, attribute(2, struct.pack("=I", 1200)))),  # RTA_METRICS: mtu 1200
    ],
)
def test_a_route_of_ours_that_somebody_altered_is_told_from_one_as_we_made_it(kind: str, extra: bytes):
    assert route(f"02 18 00 00 fe f1 00 {kind} 00000000", OIF, extra) == SeenEntry(
        Route(NETWORK, 7), True, True
    )


@pytest.mark.parametrize(
    ("network", "family", "metric"), [("10.2.35.0/24", "02 18", 0xFFFFFFFF), ("fd00:1::/64", "0a 40", 7)]
)
def test_a_blackhole_route_is_one_of_that_type_by_no_device_and_takes_nobodys_place(
    network: str, family: str, metric: int
):
    asked = blackhole(ip_network(network), metric, 0xF2)
    # linux/rtnetlink.h: RTM_NEWROUTE 24, RTN_BLACKHOLE 6, RTA_DST 1, RTA_PRIORITY 6; linux/netlink.h:
    # NLM_F_CREATE 0x400, NLM_F_EXCL 0x200.
    assert (asked.kind, asked.flags) == (24, 0x600)
    fixed = bytes.fromhex(f"{family} 00 00 fe f2 00 06 00000000")
    to = attribute(1, ip_network(network).network_address.packed)
    assert asked.payload == fixed + to + attribute(6, struct.pack("=I", metric))


def test_of_a_route_with_several_next_hops_no_device_is_told_so_that_deleting_it_takes_all():
    hops = attribute(9, struct.pack("=HBBi", 8, 0, 0, 7) + struct.pack("=HBBi", 8, 0, 0, 8))
    assert route("02 18 00 00 fe 03 00 01 00000000", hops) == SeenEntry(
        Route(NETWORK, 0, protocol=3), False, True
    )
    assert attribute(4, struct.pack("=I", 0)) not in encode(Remove(Route(NETWORK, 0, protocol=3))).payload


def neighbour(fields: str, *others: bytes) -> SeenEntry | None:
    return read(bytes.fromhex(fields) + b"".join(others))


DST = attribute(1, GATEWAY.packed)
LLADDR = attribute(2, bytes.fromhex("82999b1a0b01"))
OURS = attribute(12, b"\xf1")


def test_a_neighbour_that_the_kernel_has_learned_is_foreign():
    seen = neighbour("02 000000 07000000 0200 00 00", DST, LLADDR)  # NUD_REACHABLE
    assert seen == SeenEntry(Neighbour(7, GATEWAY, MAC), False, True)


def test_a_neighbour_of_ours_that_is_not_permanent_any_more_is_altered():
    seen = neighbour("02 000000 07000000 0400 00 00", DST, LLADDR, OURS)  # NUD_STALE
    assert seen == SeenEntry(Neighbour(7, GATEWAY, MAC), True, True)


@pytest.mark.parametrize("state", ["0100", "2000"], ids=["incomplete", "failed"])
def test_a_neighbour_that_leads_nowhere_is_not_seen(state: str):
    assert neighbour(f"02 000000 07000000 {state} 00 00", DST, LLADDR) is None
    assert neighbour(f"02 000000 07000000 {state} 00 00", DST) is None


def test_an_fdb_entry_to_another_port_is_altered():
    port = attribute(6, b"\x12\xb5")  # NDA_PORT 4789
    seen = neighbour("07 000000 07000000 8000 12 00", LLADDR, DST, port)
    assert seen == SeenEntry(FdbEntry(7, MAC, GATEWAY), True, True)


def test_an_fdb_entry_of_another_flannel_is_foreign():
    seen = neighbour("07 000000 07000000 8000 02 00", LLADDR, DST)  # NTF_SELF alone
    assert seen == SeenEntry(FdbEntry(7, MAC, GATEWAY), False)


# Answers


def answer(code: int, flags: int, after: bytes) -> NetlinkRefusal | None:
    data = struct.pack("=i", -code) + after
    return refusal(data, Message(2, flags, 1, 0, len(data)))


HEADER = struct.pack("=IHHII", 16 + 8, 24, 1, 1, 0)
WORDS = attribute(1, b"Nexthop has invalid gateway\0")


def test_an_answer_of_zero_is_success():
    assert answer(0, 0x100, HEADER) is None


def test_a_refusal_has_the_kernels_words():
    refused = NetlinkRefusal(101, "Nexthop has invalid gateway")
    assert answer(101, 0x300, HEADER + WORDS) == refused  # NLM_F_CAPPED | NLM_F_ACK_TLVS
    assert answer(101, 0x200, HEADER + bytes(8) + WORDS) == refused  # the whole request is repeated


def test_an_older_kernel_refuses_without_words():
    assert answer(3, 0, HEADER) == NetlinkRefusal(3, "")


@given(st.binary(max_size=200))
def test_bytes_that_are_no_messages_are_an_error_and_nothing_else(data: bytes):
    try:
        found = list(messages(data))
        for message in found:
            attributes(data, message.start, message.end)
            refusal(data, message)
    except ValueError:
        return
    assert len(found) <= len(data) // 16


# Devices and addresses

VXLAN = VxlanLink("flannel.1", 1, 2, IPv4Address("192.0.2.1"), mtu=1450)
IPIP = IpipLink("flannel.ipip", IPv4Address("192.0.2.1"), mtu=1480)


def made(link: devices.LinkSpec, port: int = 8472) -> devices.Device:
    """The device that a kernel makes of our request."""
    payload = devices.create(link, port, MAC).payload
    return devices.device(payload, 0, len(payload))


def test_the_port_of_a_vxlan_device_is_in_network_byte_order():
    # flannel 0.5.5 had it the other way round: 8472 became 6177 (flannel #421).
    assert attribute(15, b"\x21\x18") in devices.create(VXLAN, 8472, MAC).payload
    assert attribute(15, b"\x12\xb5") in devices.create(replace(VXLAN, port=4789), 8472, MAC).payload


def test_making_a_device_fails_where_one_of_its_name_exists():
    assert devices.create(VXLAN, 8472, MAC).flags == 0x600  # NLM_F_CREATE | NLM_F_EXCL


@pytest.mark.parametrize(
    "link",
    [
        VXLAN,
        replace(VXLAN, gbp=True, learning=True, port=4789),
        replace(VXLAN, name="flannel-v6.1", local=IPv6Address("2001:db8::1")),
        IPIP,
    ],
)
def test_a_device_as_it_was_made_is_the_one_that_is_wanted(link: devices.LinkSpec):
    there = made(link)
    assert (there.name, there.mtu) == (link.name, link.mtu)
    assert devices.difference(link, 8472, there) == ""


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (IPIP, "link type: ipip, not vxlan"),
        (replace(VXLAN, vni=2), "vni: 2, not 1"),
        (replace(VXLAN, underlay=3), "vtep (external) interface: 3, not 2"),
        (replace(VXLAN, local=IPv4Address("192.0.2.2")), "vtep (external) IP: 192.0.2.2, not 192.0.2.1"),
        (replace(VXLAN, local=IPv6Address("2001:db8::1")), "vtep (external) IP: 2001:db8::1, not 192.0.2.1"),
        (replace(VXLAN, port=6177), "port: 6177, not 8472"),
        (replace(VXLAN, gbp=True), "gbp: True, not False"),
        (replace(VXLAN, learning=True), "learning: True, not False"),
    ],
)
def test_a_device_that_is_not_as_wanted_is_told_by_what_differs(other: devices.LinkSpec, reason: str):
    assert devices.difference(VXLAN, 8472, made(other)) == reason


def test_an_ipip_device_to_one_machine_alone_is_not_the_one_that_is_wanted():
    there = made(IPIP)
    assert devices.difference(replace(IPIP, local=IPv4Address("192.0.2.2")), 0, there) == (
        "local address: 192.0.2.1, not 192.0.2.2"
    )
    remote = replace(there, data={**there.data, 3: IPv4Address("192.0.2.9").packed})
    assert devices.difference(IPIP, 0, remote) == "remote address: 192.0.2.9, not any"


def test_an_ipv6_address_is_usable_at_once():
    v4 = addresses.give_address(7, ip_interface("10.5.1.0/32"))
    v6 = addresses.give_address(7, ip_interface("2001:db8:1::/128"))
    # struct ifaddrmsg (linux/if_addr.h): family, prefix length, flags, scope, index
    assert v4.payload[:8] == bytes.fromhex("02 20 00 00 07000000")
    assert v6.payload[:8] == bytes.fromhex("0a 80 02 00 07000000")  # IFA_F_NODAD


@given(st.ip_addresses(), st.integers(0, 32), INDICES)
def test_an_address_that_is_given_is_the_one_that_is_held(address, length, index):
    wanted = ip_interface((address, length))
    payload = addresses.give_address(index, wanted).payload
    held = addresses.held_address(payload, 0, len(payload))
    assert held is not None
    assert (held.device, held.address) == (index, wanted)
