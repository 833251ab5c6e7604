"""The udp backend, with something in place of what carries its packets."""

import errno
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from flanneld_py.backend.catalog import parse_config
from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.udp import backend as udp
from flanneld_py.backend.udp.config import Udp, UdpOptions
from flanneld_py.datapath.forward import Peer
from flanneld_py.datapath.tunnel import Outside
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import own_devices
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface
from tests.flanneld_py.made import lease

LO = Interface(
    "lo",
    socket.if_nametoindex("lo"),
    65536,
    IPv4Address("127.0.0.1"),
    ipv4_networks=(IPv4Interface("127.0.0.1/8"),),
)
OURS = Subnet(IPv4Network("10.2.35.0/24"))


class Tunnel:
    """Moves nothing; it can only be made if `refusal` is None."""

    refusal: OSError | None = None
    made: list["Tunnel"]
    device = "flannel0"
    index = 7
    inlet: tuple[str, int] | None = None
    damage = ""
    fast = False

    def __init__(self, _: str, outside: Outside, mtu: int, **__: object) -> None:
        self.outside, self.mtu = outside, mtu
        if Tunnel.refusal is not None:
            raise Tunnel.refusal
        self.failure: OSError | None = None
        self.closed = False
        Tunnel.made.append(self)

    @property
    def alive(self) -> bool:
        return self.failure is None

    def begin(self) -> None:
        pass

    def renew(self) -> None:
        self.damage = ""

    def move(self, outside: Outside, mtu: int) -> None:
        if Tunnel.refusal is not None:
            raise Tunnel.refusal
        self.outside, self.mtu = outside, mtu

    def replace(self, peers: Mapping[IPv4Network, tuple[Peer, bool]]) -> None:
        self.peers = [peer for peer, _ in peers.values()]

    def allow(self, _: object) -> None:
        pass

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(udp, "require_tun", lambda: None)
    monkeypatch.setattr(udp, "Tunnel", Tunnel)
    monkeypatch.setattr(own_devices, "establish", lambda _: None)
    monkeypatch.setattr(Tunnel, "refusal", None)
    monkeypatch.setattr(Tunnel, "made", [], raising=False)
    made = udp_backend()
    yield made
    made.close()


def udp_backend(*, announcements: bool = True) -> udp.UdpBackend:
    network = parse_config(b'{"Network": "10.2.0.0/16"}')
    node = NodeContext(LO, Addresses(LO.ipv4), announcements=announcements)
    return udp.UdpBackend(network, Udp(port=0), UdpOptions(), node)


def test_a_device_that_cannot_be_made_anew_is_tried_again(backend, monkeypatch):
    backend.claim(OURS)
    assert backend.broken() == ""
    (lost,) = Tunnel.made
    lost.failure = OSError(errno.EBADFD, os.strerror(errno.EBADFD))
    assert backend.broken() == "flannel0 does not work any more: File descriptor in bad state"
    monkeypatch.setattr(Tunnel, "refusal", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    with pytest.raises(OSError, match="Too many open files"):
        backend.claim(OURS)
    assert lost.closed
    assert backend.broken() == "flannel0 could not be recreated"
    monkeypatch.setattr(Tunnel, "refusal", None)
    backend.claim(OURS)
    assert backend.broken() == ""


def test_a_device_that_cannot_be_given_its_address_is_ended_and_tried_again(backend, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(own_devices, "establish", refuse)
    with pytest.raises(OSError, match="No such device"):
        backend.claim(OURS)
    assert [tunnel.closed for tunnel in Tunnel.made] == [True]
    assert backend.broken() == "flannel0 could not be recreated"


ELSEWHERE = replace(LO, name="lan0", mtu=1400, ipv4=IPv4Address("127.0.0.2"))


def test_another_mtu_and_name_need_no_other_socket(backend):
    backend.claim(OURS)
    (tunnel,) = Tunnel.made
    before = tunnel.outside.socket
    backend.follow(replace(LO, name="lan0", mtu=1400), Addresses(LO.ipv4))
    backend.claim(OURS)
    assert (tunnel.mtu, backend.mtu) == (1372, 1372)
    assert tunnel.outside.socket is before
    assert tunnel.outside.interface == "lan0"
    assert backend.announcement() == b'{"MTU":1400}'


def test_an_interface_that_has_no_room_is_refused(backend):
    with pytest.raises(Fatal, match="The MTU of lan0 is 95, and udp needs at least 96: raise it") as caught:
        backend.follow(replace(LO, name="lan0", mtu=95), Addresses(LO.ipv4))
    assert caught.value.code == Exit.INTERFACE


def test_another_address_is_bound_announced_and_the_old_one_is_let_go(backend):
    backend.claim(OURS)
    (tunnel,) = Tunnel.made
    before = tunnel.outside.socket
    backend.follow(ELSEWHERE, Addresses(ELSEWHERE.ipv4))
    backend.claim(OURS)
    assert tunnel.outside.socket.getsockname()[0] == "127.0.0.2"
    assert before.fileno() == -1
    assert backend.attrs().public == Addresses(ELSEWHERE.ipv4)


def test_a_move_that_could_not_be_made_is_made_with_the_next_claim(backend, monkeypatch):
    backend.claim(OURS)
    (tunnel,) = Tunnel.made
    before = tunnel.outside.socket
    monkeypatch.setattr(Tunnel, "refusal", OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    for _ in range(2):
        backend.follow(ELSEWHERE, Addresses(ELSEWHERE.ipv4))
        with pytest.raises(OSError, match="Too many open files"):
            backend.claim(OURS)
        assert tunnel.outside.socket is before
        assert before.fileno() >= 0
    monkeypatch.setattr(Tunnel, "refusal", None)
    backend.claim(OURS)
    assert tunnel.outside.address == ELSEWHERE.ipv4
    assert before.fileno() == -1


def test_before_there_is_a_device_another_address_is_bound_as_well(backend):
    backend.follow(ELSEWHERE, Addresses(ELSEWHERE.ipv4))
    backend.claim(OURS)
    (tunnel,) = Tunnel.made
    assert tunnel.outside.address == ELSEWHERE.ipv4


@pytest.mark.parametrize("announcements", [True, False])
def test_a_peer_that_says_nothing_is_a_genuine_flannel_only_where_it_could_have_said_something(
    backend, announcements
):
    made = udp_backend(announcements=announcements)
    made.claim(OURS)
    peer = lease("10.2.36.0/24", "192.168.50.12")
    made.carry({peer.subnet: peer}, 0)
    assert [peer.paced for peer in Tunnel.made[-1].peers] == [announcements]
    made.close()
