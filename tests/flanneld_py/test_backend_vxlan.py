"""What the vxlan backend announces and refuses, before there is a device."""

import dataclasses
import logging
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

import pytest

from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.vxlan.backend import VxlanBackend
from flanneld_py.backend.vxlan.config import Vxlan, VxlanOptions
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import links, offload, own_devices
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerAdded, encode
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.fake_table import FakeTable
from tests.flanneld_py.made import addresses, pool4, pool6, subnet

IPV4 = pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24")
IPV6 = pool6("2001:cafe:42::/48", "2001:cafe:42:1::/64", "2001:cafe:42:ffff::/64")
ETH0 = Interface("eth0", 2, 1500, IPv4Address("192.168.50.11"), IPv6Address("fd00:50::11"))
PUBLIC = addresses("192.168.50.11", "fd00:50::11")
LO = Interface(
    "lo", socket.if_nametoindex("lo"), 65536, IPv4Address("127.0.0.1"), None, (IPv4Interface("127.0.0.1/8"),)
)

# Without rules of the packet filter, for which it takes root.
UNCHECKED = VxlanOptions(vxlan_source_check=False)

# A VNI that no device of the machine that runs the tests has.
VNI = 9_998


def vxlan(*pools: object, interface: Interface = ETH0, vni: int = VNI, mtu: int = 0) -> VxlanBackend:
    chosen = Vxlan(vni, mtu=mtu)
    network = NetworkConfig(IPV4 if IPV4 in pools else None, IPV6 if IPV6 in pools else None, chosen)
    return VxlanBackend(network, chosen, UNCHECKED, NodeContext(interface, PUBLIC), table=FakeTable())


def test_an_ipv4_lease_names_a_locally_administered_mac_of_one_machine():
    value = vxlan(IPV4).attrs()
    assert isinstance(value.backend_data, dict)
    first = int(value.backend_data["VtepMAC"][:2], 16)
    assert first & 3 == 2  # IEEE 802: locally administered, individual
    assert value.backend_v6_data is None
    assert encode(value).startswith(b'{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"vxlan",')


def test_a_large_vni_is_announced_as_the_oldest_peer_can_read_it(caplog):
    caplog.set_level(logging.INFO)
    vni = VNI + 100_000
    made = vxlan(IPV4, vni=vni)

    def said() -> object:
        data = made.attrs().backend_data
        return data["VNI"] if isinstance(data, dict) else data

    def peer(number: int, announced: int) -> Lease:
        data = {"VNI": announced, "VtepMAC": "8e:1e:31:c7:4b:37"}
        return Lease(subnet(f"10.2.{number}.0/24"), LeaseAttrs(addresses("192.168.50.12"), "vxlan", data))

    assert said() == vni
    made.change([PeerAdded(peer(2, vni))])
    assert said() == vni
    made.change([PeerAdded(peer(3, vni & 0xFFFF)), PeerAdded(peer(4, vni & 0xFFFF))])
    assert said() == vni & 0xFFFF
    assert caplog.text.count("announces its VNI as flannel before 0.24") == 1
    assert "uses VNI" not in caplog.text


def test_the_mac_of_a_new_device_cannot_be_guessed_and_is_that_of_our_lease_after_a_reboot():
    first, second = vxlan(IPV4, IPV6), vxlan(IPV4, IPV6)
    assert first.attrs().backend_data != second.attrs().backend_data
    second.recall(first.attrs())
    assert second.attrs() == first.attrs()
    # What says nothing usable, or is of another backend, is not taken.
    for data in (None, {"VtepMAC": "01:00:5e:00:00:01"}, {"VtepMAC": "junk"}):
        second.recall(dataclasses.replace(first.attrs(), backend_data=data))
    second.recall(dataclasses.replace(vxlan(IPV4, IPV6).attrs(), backend_type="wireguard"))
    assert second.attrs() == first.attrs()


def test_a_dual_stack_lease_names_a_mac_for_each_family():
    value = vxlan(IPV4, IPV6).attrs()
    assert value.public == PUBLIC
    assert value.backend_data != value.backend_v6_data


def test_an_ipv6_lease_names_that_family_alone():
    value = vxlan(IPV6).attrs()
    assert value.public == addresses("fd00:50::11")
    assert value.backend_data is None
    assert value.backend_v6_data is not None


@pytest.mark.parametrize(
    ("pools", "mtu"),
    [((IPV4,), 1450), ((IPV6,), 1430), ((IPV4, IPV6), 1430)],
    ids=["IPv4: 14+8+8+20", "IPv6: 14+8+8+40", "both: the smaller"],
)
def test_pods_have_the_interfaces_mtu_less_what_encapsulation_adds(pools, mtu):
    assert vxlan(*pools).mtu == mtu


def test_backend_mtu_is_that_of_the_outer_packets_as_in_flannel():
    assert vxlan(IPV4, mtu=1400).mtu == 1350


def test_a_larger_mtu_than_the_interfaces_does_not_count_and_is_warned_of(caplog):
    # vxlan_change_mtu of the kernel's drivers/net/vxlan refuses it.
    assert vxlan(IPV4, mtu=9000).mtu == 1450
    assert "Backend.MTU is 9000, but the MTU of eth0 is only 1500" in caplog.text


def test_an_mtu_that_leaves_too_little_for_ipv6_is_refused():
    # RFC 8200: every network carries 1280 bytes. Encapsulation adds 70.
    with pytest.raises(Fatal, match=r"Backend\.MTU is 1300, and vxlan needs at least 1350") as caught:
        vxlan(IPV6, mtu=1300)
    assert caught.value.code == Exit.CONFIG
    narrow = dataclasses.replace(ETH0, mtu=1300)
    with pytest.raises(Fatal, match="The MTU of eth0 is 1300, and vxlan needs at least 1350") as caught:
        vxlan(IPV4, IPV6, interface=narrow)
    assert vxlan(IPV4, mtu=1300).mtu == 1250
    assert caught.value.code == Exit.INTERFACE


@pytest.mark.parametrize("pools", [(IPV4,), (IPV6,)])
def test_an_interface_without_the_family_is_refused(pools):
    bare = dataclasses.replace(ETH0, ipv4=None, ipv6=None)
    with pytest.raises(Fatal, match=r"eth0 has no IPv[46] address") as caught:
        vxlan(*pools, interface=bare)
    assert caught.value.code == Exit.INTERFACE


@pytest.fixture
def made(monkeypatch) -> list[links.VxlanLink]:
    """The devices that were made, without a kernel."""
    devices: list[links.VxlanLink] = []

    def ensure(wanted: links.VxlanLink) -> links.Link:
        devices.append(wanted)
        return links.Link(wanted.name, 7, wanted.mac, wanted.mtu, up=False, created=True)

    monkeypatch.setattr(links, "ensure_vxlan", ensure)
    monkeypatch.setattr(own_devices, "establish", lambda _: None)
    monkeypatch.setattr(offload, "tx_checksum", lambda _: False)
    return devices


def test_the_device_has_the_mac_that_the_lease_names(made):
    backend = vxlan(IPV4, interface=LO)
    announced = backend.attrs().backend_data
    backend.claim(subnet("10.2.1.0/24"))
    assert announced == {"VNI": VNI, "VtepMAC": made[0].mac}
    assert backend.attrs().backend_data == announced
    backend.close()


def test_a_device_that_is_not_there_is_broken():
    owned = vxlan(IPV4, interface=LO).owned()
    assert own_devices.reconcile(owned).anew == f"The device flannel.{VNI} is gone: recreating it"


def test_on_another_interface_the_device_is_another_one_with_the_mac_that_peers_know(made):
    backend = vxlan(IPV4)
    before = backend.attrs()
    backend.claim(subnet("10.2.1.0/24"))
    new = dataclasses.replace(ETH0, name="lan0", index=9, mtu=1400, ipv4=IPv4Address("192.168.50.77"))
    backend.follow(new, addresses("192.168.50.77"))
    backend.claim(subnet("10.2.1.0/24"))
    first, second = made
    assert (second.underlay, second.local, second.mtu) == (9, IPv4Address("192.168.50.77"), 1350)
    assert second.mac == first.mac
    assert backend.mtu == 1350
    assert backend.attrs() == dataclasses.replace(before, public=addresses("192.168.50.77"))
    backend.close()
