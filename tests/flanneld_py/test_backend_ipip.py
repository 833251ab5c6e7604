"""What the ipip backend announces and refuses."""

import dataclasses
from ipaddress import IPv4Address

import pytest

from flanneld_py.backend.ipip.backend import IpipBackend
from flanneld_py.backend.ipip.config import Ipip
from flanneld_py.backend.kind import NodeContext
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Fatal
from flanneld_py.kernel import links
from flanneld_py.lease.model import encode
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.fake_table import FakeTable
from tests.flanneld_py.made import addresses, pool4

IPV4 = pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24")
ETH0 = Interface("eth0", 2, 1500, IPv4Address("192.168.50.11"))


def ipip(interface: Interface = ETH0) -> IpipBackend:
    node = NodeContext(interface, addresses("192.168.50.11", "fd00:50::11"))
    return IpipBackend(NetworkConfig(IPV4, None, Ipip()), Ipip(), node, table=FakeTable())


@pytest.fixture
def devices(monkeypatch) -> list[links.IpipLink]:
    """What the kernel was asked for, in place of a kernel that has ipip."""
    asked: list[links.IpipLink] = []

    def ensure(wanted: links.IpipLink) -> links.Link:
        asked.append(wanted)
        return links.Link(wanted.name, 9, "", wanted.mtu, up=False)

    monkeypatch.setattr(links, "ensure_ipip", ensure)
    return asked


def test_the_device_is_asked_for_before_a_lease_is(devices):
    made = ipip()
    assert devices == [links.IpipLink("flannel.ipip", IPv4Address("192.168.50.11"), made.mtu)]


def test_the_lease_is_flannels(devices):
    made = ipip()
    assert encode(made.attrs()) == b'{"PublicIP":"192.168.50.11","PublicIPv6":null,"BackendType":"ipip"}'
    assert made.mtu == 1480


def test_an_interface_that_has_no_room_is_refused():
    with pytest.raises(Fatal, match="The MTU of eth0 is 80, and ipip needs at least 88: raise it"):
        ipip(dataclasses.replace(ETH0, mtu=80))
