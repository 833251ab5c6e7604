"""How peers are reached, with a kernel that is a function."""

import errno
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from flanneld_py.backend.peer_next_hops import NextHops
from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Address
from flanneld_py.underlay.interface import NextHop
from tests.flanneld_py.made import lease

A, B = lease("10.2.2.0/24", "192.168.50.12"), lease("10.2.3.0/24", "192.168.50.13")
ROUTER = IPv4Address("192.168.50.1")


class Kernel:
    """Routes by address, and what was asked for."""

    def __init__(self) -> None:
        self.ways = {public(A): NextHop(2), public(B): NextHop(2)}
        self.asked: list[tuple[Address, ...]] = []
        self.fails = False

    def __call__(self, addresses: Sequence[Address], /) -> dict[Address, NextHop]:
        self.asked.append(tuple(addresses))
        if self.fails:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return {address: self.ways[address] for address in addresses if address in self.ways}


def public(of: Lease) -> Address:
    assert of.attrs.public.ipv4 is not None
    return of.attrs.public.ipv4


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_a_change_asks_for_the_new_peers_alone(kernel):
    reached = NextHops(kernel)
    reached.begin([A])
    reached.learn([B])
    assert kernel.asked == [(public(A),), (public(B),)]
    assert reached.known == {public(A): NextHop(2), public(B): NextHop(2)}


def test_those_that_are_reached_in_another_way_than_before_are_told(kernel):
    reached = NextHops(kernel)
    reached.begin([A, B])
    assert reached.renew() == []
    kernel.ways[public(B)] = NextHop(2, gateway=ROUTER)
    assert reached.renew() == [B]
    del kernel.ways[public(A)]
    assert reached.renew() == [A]
    assert reached.renew() == []


def test_the_source_address_of_a_way_is_no_matter(kernel):
    reached = NextHops(kernel)
    reached.begin([A])
    kernel.ways[public(A)] = NextHop(2, IPv4Address("192.168.50.99"))
    assert reached.renew() == []


def test_a_peer_that_is_gone_is_not_asked_for(kernel):
    reached = NextHops(kernel)
    reached.begin([A, B])
    reached.forget(A.subnet)
    reached.renew()
    assert kernel.asked[-1] == (public(B),)
    reached.begin([])
    assert reached.renew() == []
    assert len(kernel.asked) == 2


def test_what_the_kernel_could_not_be_asked_stays_as_it_was_and_is_asked_again(kernel, caplog):
    reached = NextHops(kernel)
    reached.begin([A])
    kernel.fails = True
    reached.learn([B])
    assert reached.renew() == []
    assert reached.known == {public(A): NextHop(2)}
    assert "Asking for the routes to peers: [Errno 105] No buffer space available. Retrying" in caplog.text
    kernel.fails = False
    assert reached.renew() == [B]
