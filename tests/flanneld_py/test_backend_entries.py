"""What a lease means for the kernel: as `ip route`, `ip neigh` and `bridge fdb` show it of flannel 0.20.2."""

import json
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanneld_py.backend.host_gw.entries import entries as host_gw_entries
from flanneld_py.backend.host_gw.entries import not_on_link
from flanneld_py.backend.ipip.entries import entries as ipip_entries
from flanneld_py.backend.peers import Direct
from flanneld_py.backend.vxlan.entries import Vteps, announced, entries, is_older, is_vtep_mac
from flanneld_py.kernel.entries import FdbEntry, Neighbour, Route
from flanneld_py.lease.model import Lease, LeaseAttrs, decode, encode
from flanneld_py.subnet import Subnet, parse_key
from flanneld_py.underlay.interface import Interface, NextHop
from tests.flanneld_py.made import subnet

MAC = "8e:1e:31:c7:4b:37"
OWN = subnet("10.2.1.0/24", "2001:cafe:42:1::/64")
OVERLAY = subnet("10.2.0.0/16", "2001:cafe:42::/48")
ETH0 = Interface(
    "eth0", 2, 1500, IPv4Address("192.168.50.11"), IPv6Address("fd00:50::11"),
    (IPv4Interface("192.168.50.11/24"),), (IPv6Interface("fd00:50::11/64"), IPv6Interface("fe80::1/64")),
)  # fmt: skip
BOTH = Vteps(7, 8)
ROUTER = ip_address("192.168.50.1")
WAYS = {
    ip_address("192.168.50.12"): NextHop(2),
    ip_address("fd00:50::12"): NextHop(2),
    ip_address("192.168.50.13"): NextHop(2, gateway=ROUTER),  # within our /24, and yet behind a router
    ip_address("192.168.50.14"): NextHop(3),
    ip_address("192.168.51.12"): NextHop(2, gateway=ROUTER),
    ip_address("198.51.100.12"): NextHop(2),  # by an on-link route of an administrator's
}
ON_LINK = Direct(ETH0.index, WAYS)


def lease(name: str, value: str) -> Lease:
    """A key's last part and its value, as in etcd."""
    identity = parse_key(name)
    assert identity is not None
    return Lease(identity, decode(value.encode()))


def vxlan(data: object = None, *, name: str = "10.2.3.0-24", address: str = "192.168.50.12") -> Lease:
    data = {"VNI": 1, "VtepMAC": MAC} if data is None else data
    value = {"PublicIP": address, "PublicIPv6": None, "BackendType": "vxlan", "BackendData": data}
    return lease(name, json.dumps(value))


DUAL = lease(
    "10.2.3.0-24&2001:cafe:42:3::-64",
    '{"PublicIP":"192.168.50.12","PublicIPv6":"fd00:50::12","BackendType":"vxlan",'
    '"BackendData":{"VNI":1,"VtepMAC":"8e:1e:31:c7:4b:37"},'
    '"BackendV6Data":{"VNI":1,"VtepMAC":"52:08:00:00:00:01"}}',
)


def vxlan_entries(of: Lease, vteps: Vteps = BOTH, *, vni: int = 1, direct: Direct | None = None):
    return entries(of, vteps, vni, OWN, direct)


def text(carried) -> list[str]:
    return [str(entry) for entry in carried.entries]


def test_a_vxlan_peer_takes_an_fdb_entry_a_neighbour_and_then_the_route():
    assert vxlan_entries(vxlan()).entries == (
        FdbEntry(7, MAC, ip_address("192.168.50.12")),
        Neighbour(7, ip_address("10.2.3.0"), MAC),
        Route(IPv4Network("10.2.3.0/24"), 7, gateway=ip_address("10.2.3.0"), onlink=True),
    )


def test_a_dual_stack_vxlan_peer_takes_them_of_both_families():
    assert text(vxlan_entries(DUAL)) == [
        "FDB entry 8e:1e:31:c7:4b:37 dst 192.168.50.12 dev #7",
        "neighbour 10.2.3.0 lladdr 8e:1e:31:c7:4b:37 dev #7",
        "route 10.2.3.0/24 via 10.2.3.0 dev #7 onlink",
        "FDB entry 52:08:00:00:00:01 dst fd00:50::12 dev #8",
        "neighbour 2001:cafe:42:3:: lladdr 52:08:00:00:00:01 dev #8",
        "route 2001:cafe:42:3::/64 via 2001:cafe:42:3:: dev #8 onlink",
    ]


@pytest.mark.parametrize(("vteps", "device"), [(Vteps(ipv4=7), "#7"), (Vteps(ipv6=8), "#8")])
def test_a_family_that_our_overlay_lacks_is_left_out(vteps, device):
    carried = vxlan_entries(DUAL, vteps)
    assert len(carried.entries) == 3
    assert all(device in line for line in text(carried))
    assert not carried.remarks


def test_a_lease_of_v0_5_5_names_no_vni_and_counts_as_any_other():
    carried = vxlan_entries(vxlan({"VtepMAC": MAC}), vni=7)
    assert len(carried.entries) == 3
    assert not carried.remarks


def test_with_direct_routing_a_peer_on_our_link_takes_a_plain_route():
    assert text(vxlan_entries(DUAL, direct=ON_LINK)) == [
        "route 10.2.3.0/24 via 192.168.50.12 dev #2",
        "route 2001:cafe:42:3::/64 via fd00:50::12 dev #2",
    ]


@pytest.mark.parametrize(
    "address",
    ["192.168.51.12", "192.168.50.13", "192.168.50.14", "203.0.113.12"],
    ids=["a router", "a router within our prefix", "another interface", "no route"],
)
def test_with_direct_routing_a_peer_that_is_not_on_our_link_is_encapsulated_still(address):
    assert len(vxlan_entries(vxlan(address=address), direct=ON_LINK).entries) == 3


def test_with_direct_routing_a_peer_outside_our_prefix_that_a_route_puts_on_our_link_takes_a_plain_route():
    assert text(vxlan_entries(vxlan(address="198.51.100.12"), direct=ON_LINK)) == [
        "route 10.2.3.0/24 via 198.51.100.12 dev #2"
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("text", "its BackendData is 'text'"),
        ([], "its BackendData is []"),
        ({}, "VtepMAC of its BackendData is None"),
        ({"VtepMAC": 5}, "VtepMAC of its BackendData is 5"),
        ({"VtepMAC": "8e:1e:31:c7:4b"}, "is '8e:1e:31:c7:4b', not the MAC of a machine"),
        ({"VtepMAC": "00:00:00:00:00:00"}, "not the MAC of a machine"),
        ({"VtepMAC": "ff:ff:ff:ff:ff:ff"}, "not the MAC of a machine"),
        ({"VtepMAC": "01:00:5e:00:00:01"}, "not the MAC of a machine"),
    ],
)
def test_backend_data_that_names_no_mac_is_warned_of_and_takes_nothing(data, reason):
    carried = vxlan_entries(vxlan(data))
    (remark,) = carried.remarks
    assert remark.text.startswith("Ignoring the subnet 10.2.3.0/24: ")
    assert reason in remark.text
    assert not carried.entries


def test_bad_data_of_one_family_does_not_take_the_other_away():
    lame = lease(
        "10.2.3.0-24&2001:cafe:42:3::-64",
        '{"PublicIP":"192.168.50.12","PublicIPv6":"fd00:50::12","BackendType":"vxlan",'
        '"BackendData":{"VtepMAC":"8e:1e:31:c7:4b:37"}}',
    )
    carried = vxlan_entries(lame)
    assert [line.split()[0] for line in text(carried)] == ["FDB", "neighbour", "route"]
    assert ["2001:cafe:42:3::/64" in remark.text for remark in carried.remarks] == [True]


@pytest.mark.parametrize("address", ["224.0.0.1", "127.0.0.1"])
def test_a_public_address_that_is_no_machines_is_warned_of(address):
    carried = vxlan_entries(vxlan(address=address))
    assert not carried.entries
    assert [address in remark.text for remark in carried.remarks] == [True]


def test_a_mac_may_be_written_in_any_of_the_usual_ways():
    assert vxlan_entries(vxlan({"vtepmac": "8E-1E-31-C7-4B-37"})).entries == vxlan_entries(vxlan()).entries


def test_another_vni_is_warned_of():
    (remark,) = vxlan_entries(vxlan({"VNI": 7, "VtepMAC": MAC})).remarks
    assert "uses VNI 7 and we 1" in remark.text


@pytest.mark.parametrize("kind", ["", "udp", "host-gw"])
def test_a_lease_of_another_backend_is_ignored_in_flannels_words(kind):
    other = lease("10.2.3.0-24", json.dumps({"PublicIP": "192.168.50.12", "BackendType": kind}))
    carried = vxlan_entries(other)
    assert not carried.entries
    (remark,) = carried.remarks
    assert remark.text.startswith(f"Ignoring non-vxlan subnet: type={kind} ")
    (same,) = vxlan_entries(
        lease("10.2.4.0-24", json.dumps({"PublicIP": "1.2.3.4", "BackendType": kind}))
    ).remarks
    assert same.topic == remark.topic


@pytest.mark.parametrize("name", ["10.2.1.0-24", "10.2.1.128-25", "10.2.0.0-20"])
def test_nothing_of_our_own_subnet_is_given_to_a_peer(name):
    value = '{"PublicIP":"192.168.50.12","BackendType":"host-gw"}'
    carried = host_gw_entries(lease(name, value), ETH0, OVERLAY, OWN, {})
    assert not carried.entries
    assert "it overlaps ours" in carried.remarks[0].text
    assert not vxlan_entries(vxlan(name=name)).entries


def test_a_large_vni_is_announced_whole_as_flannel_does_since_0_24():
    assert announced(100_000, MAC) == {"VNI": 100_000, "VtepMAC": MAC}
    assert not vxlan_entries(vxlan({"VNI": 100_000, "VtepMAC": MAC}), vni=100_000).remarks
    assert not is_older(vxlan({"VNI": 100_000, "VtepMAC": MAC}), 100_000)


def test_a_flannel_before_0_24_cuts_a_large_vni_and_so_do_we_where_there_is_one():
    # Go: VNI was uint16 in vxlanLeaseAttrs; encoding/json refuses a larger number, and flannel that lease.
    older = vxlan({"VNI": 34_464, "VtepMAC": MAC})
    assert not vxlan_entries(older, vni=100_000).remarks
    assert is_older(older, 100_000)
    assert announced(100_000, MAC, older=True) == {"VNI": 34_464, "VtepMAC": MAC}
    assert not is_older(older, 34_464)
    assert announced(34_464, MAC, older=True) == announced(34_464, MAC)


def test_our_own_lease_is_what_flannel_would_write():
    value = b'{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"vxlan",'
    value += b'"BackendData":{"VNI":1,"VtepMAC":"8e:1e:31:c7:4b:37"}}'
    assert encode(decode(value)) == value
    assert decode(value).backend_data == announced(1, MAC)


@pytest.mark.parametrize("mac", ["8E:1e:31:c7:4b:37", "8e:1e:31:c7:4b:37\n", "", "g0:00:00:00:00:01"])
def test_only_the_kernels_own_way_to_write_a_mac_is_one(mac):
    assert not is_vtep_mac(mac)


# host-gw and ipip

HOST_GW = lease(
    "10.2.3.0-24&2001:cafe:42:3::-64",
    '{"PublicIP":"192.168.50.12","PublicIPv6":"fd00:50::12","BackendType":"host-gw"}',
)


def test_a_host_gw_peer_takes_a_route_of_each_family():
    assert text(host_gw_entries(HOST_GW, ETH0, OVERLAY, OWN, {})) == [
        "route 10.2.3.0/24 via 192.168.50.12 dev #2",
        "route 2001:cafe:42:3::/64 via fd00:50::12 dev #2",
    ]


def test_a_host_gw_peer_is_routed_in_the_families_of_our_overlay_alone():
    overlay = subnet("10.2.0.0/16")
    assert text(host_gw_entries(HOST_GW, ETH0, overlay, OWN, {})) == [
        "route 10.2.3.0/24 via 192.168.50.12 dev #2"
    ]


def test_a_host_gw_peer_without_an_ipv6_address_is_warned_of():
    half = lease("10.2.3.0-24&2001:cafe:42:3::-64", '{"PublicIP":"192.168.50.12","BackendType":"host-gw"}')
    carried = host_gw_entries(half, ETH0, OVERLAY, OWN, {})
    assert len(carried.entries) == 1
    assert "2001:cafe:42:3::/64" in carried.remarks[0].text


def test_host_gw_ignores_another_backend_in_flannels_words():
    (remark,) = host_gw_entries(vxlan(), ETH0, OVERLAY, OWN, {}).remarks
    assert remark.text.startswith("Ignoring non-host-gw subnet: type=vxlan ")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("192.168.50.13", "192.168.50.13 is not on the link of eth0 (its router is 192.168.50.1)"),
        ("192.168.50.14", "192.168.50.14 is not on the link of eth0 (it is behind another interface)"),
        ("203.0.113.12", "203.0.113.12 is not on the link of eth0 (this machine has no route to it)"),
    ],
)
def test_why_a_gateway_is_refused_is_explained_if_it_is_off_the_link(address, reason):
    assert reason in not_on_link(ip_address(address), ETH0, WAYS)
    assert not_on_link(ip_address("192.168.50.12"), ETH0, WAYS) == ""


def test_a_host_gw_peer_behind_a_router_is_routed_as_flannel_does_and_warned_of():
    far = lease("10.2.3.0-24", '{"PublicIP":"192.168.50.13","BackendType":"host-gw"}')
    carried = host_gw_entries(far, ETH0, OVERLAY, OWN, WAYS)
    assert text(carried) == ["route 10.2.3.0/24 via 192.168.50.13 dev #2"]
    (remark,) = carried.remarks
    assert remark.text.startswith("Packets to the subnet 10.2.3.0/24 may be lost: 192.168.50.13 is not on")
    assert not host_gw_entries(HOST_GW, ETH0, OVERLAY, OWN, WAYS).remarks


def test_an_ipip_peer_takes_a_route_by_the_tunnel_or_with_direct_routing_by_the_link():
    near = lease("10.2.3.0-24", '{"PublicIP":"192.168.50.12","BackendType":"ipip"}')
    far = lease("10.2.3.0-24", '{"PublicIP":"192.168.51.12","BackendType":"ipip"}')
    assert text(ipip_entries(near, 9, OWN, None)) == ["route 10.2.3.0/24 via 192.168.50.12 dev #9 onlink"]
    assert text(ipip_entries(near, 9, OWN, ON_LINK)) == ["route 10.2.3.0/24 via 192.168.50.12 dev #2"]
    assert text(ipip_entries(far, 9, OWN, ON_LINK)) == ["route 10.2.3.0/24 via 192.168.51.12 dev #9 onlink"]
    assert "Ignoring non-ipip subnet: type=vxlan" in ipip_entries(vxlan(), 9, OWN, None).remarks[0].text


def test_ipip_carries_no_ipv6():
    only = lease("0.0.0.0-0&2001:cafe:42:3::-64", '{"PublicIPv6":"fd00:50::12","BackendType":"ipip"}')
    assert not ipip_entries(only, 9, Subnet(), None).entries
    assert "ipip carries IPv4 only" in ipip_entries(only, 9, Subnet(), None).remarks[0].text


KEYS = ["VtepMAC", "vtepmac", "VNI"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from(["vxlan", "host-gw", "ipip", "udp", ""]))
def test_whatever_a_lease_says_it_is_entries_of_that_peer_or_a_remark(data, data6, kind):
    attrs = LeaseAttrs(DUAL.attrs.public, kind, data, data6)
    of = Lease(DUAL.subnet, attrs)
    for carried in (
        vxlan_entries(of),
        vxlan_entries(of, direct=ON_LINK),
        host_gw_entries(of, ETH0, OVERLAY, OWN, {}),
        ipip_entries(of, 9, OWN, ON_LINK),
    ):
        assert carried.entries or carried.remarks
        for entry in carried.entries:
            if isinstance(entry, Route):
                assert entry.destination in DUAL.subnet.networks
        assert all(len(remark.text) < 300 for remark in carried.remarks)
