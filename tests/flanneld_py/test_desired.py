"""What is ours in the kernel, compared with what is there, and what the kernel's own news mean."""

from dataclasses import replace
from ipaddress import IPv4Network, ip_interface
from typing import Final

import pytest

from flanneld_py.kernel.addresses import HeldAddress
from flanneld_py.kernel.desired import (
    MOST,
    AddAddress,
    AddRoute,
    ConfigureLink,
    DesiredDevice,
    FoundDevice,
    KernelNotice,
    Recreate,
    RemoveAddress,
    RouteNotice,
    compare,
    concerns,
)
from flanneld_py.kernel.entries import KERNEL, Entry, Route, Slot
from tests.flanneld_py.made import pool4, pool6

NETWORK: Final = IPv4Network("10.2.0.0/16")
POOLS: Final = (
    pool4("10.2.0.0/16", "10.2.1.0/24", "10.2.255.0/24"),
    pool6("2001:cafe:42::/48", "2001:cafe:42:1::/64", "2001:cafe:42:ffff::/64"),
)
ROUTE: Final = Route(NETWORK, 7, protocol=KERNEL)
OURS: Final = ip_interface("10.2.35.0/16")
WANTED: Final = DesiredDevice("flannel0", 7, 1472, (OURS,), (ROUTE,), 500, pools=POOLS)


def held(text: str, *, ours: bool = False) -> HeldAddress:
    return HeldAddress(7, ip_interface(text), 0, ours)


FOUND: Final = FoundDevice(7, True, 1472, 500, addresses=(held("10.2.35.0/16"),), routes=(ROUTE,))


def test_what_is_as_it_should_be_is_left_alone():
    assert compare(WANTED, FOUND) == ()


def test_a_device_that_is_gone_or_not_ours_any_more_only_its_backend_can_make():
    assert compare(WANTED, None) == (Recreate("The device flannel0 is gone: recreating it"),)
    (other,) = compare(WANTED, replace(FOUND, index=8))
    assert isinstance(other, Recreate)


def test_another_mac_is_the_backends_to_tell():
    vtep = replace(WANTED, mac="52:08:00:00:00:01")
    (action,) = compare(vtep, replace(FOUND, mac="52:08:00:00:00:02"))
    assert action == Recreate(
        "The MAC of flannel0 was changed from 52:08:00:00:00:01 to 52:08:00:00:00:02: announcing it to peers"
    )


def test_a_device_that_is_down_of_another_mtu_and_another_queue_is_set_in_one_step():
    (action,) = compare(WANTED, replace(FOUND, up=False, mtu=1400, queue_length=1))
    assert action == ConfigureLink(7, 1472, 500, str(action))
    assert str(action) == (
        "flannel0 was set down and flannel0 had an MTU of 1400 instead of 1472 and flannel0 had a queue of 1 "
        "instead of 500"
    )


def test_an_address_that_was_flushed_comes_back_and_the_route_that_went_with_it():
    assert compare(WANTED, replace(FOUND, addresses=(), routes=())) == (
        AddAddress(7, OURS, "flannel0"),
        AddRoute(ROUTE, "flannel0"),
    )


@pytest.mark.parametrize("address", ["192.0.2.1/32", "169.254.7.7/16", "10.2.35.9/24", "fe80::1/64"])
def test_an_address_that_somebody_else_gave_it_stays(address):
    assert compare(WANTED, replace(FOUND, addresses=(*FOUND.addresses, held(address)))) == ()


@pytest.mark.parametrize("address", ["10.2.52.0/32", "2001:cafe:42:7::/128"])
def test_an_address_that_a_lease_gives_goes_when_it_is_not_todays(address):
    """A genuine flannel's bears no mark, but is the first of a subnet."""
    (action,) = compare(WANTED, replace(FOUND, addresses=(*FOUND.addresses, held(address))))
    assert action == RemoveAddress(7, ip_interface(address), "flannel0")


def test_an_address_with_our_mark_goes_whatever_network_it_was_of():
    there = held("10.9.1.0/32", ours=True)
    (action,) = compare(WANTED, replace(FOUND, addresses=(*FOUND.addresses, there)))
    assert action == RemoveAddress(7, there.address, "flannel0")


def test_of_a_device_that_has_no_wishes_nothing_but_to_be_up_is_asked():
    inlet = DesiredDevice("flannel0-in", 9)
    assert compare(inlet, FoundDevice(9, True, 65485, 1000)) == ()
    (action,) = compare(inlet, FoundDevice(9, False, 65485, 1000))
    assert action == ConfigureLink(9, 0, 0, "flannel0-in was set down")


# News

PEERS: Final = Route(IPv4Network("10.2.52.0/24"), 3)
TABLE: Final[dict[Slot, Entry]] = {PEERS.destination: PEERS}


@pytest.mark.parametrize(
    ("news", "matters"),
    [
        (RouteNotice(PEERS, gone=True), True),
        (RouteNotice(PEERS), False),  # what we have just put there
        (RouteNotice(PEERS, altered=True), True),
        (RouteNotice(replace(PEERS, device=4, protocol=3)), True),
        (RouteNotice(replace(PEERS, device=4, protocol=3), gone=True), False),
        (RouteNotice(Route(IPv4Network("10.2.53.0/24"), 3), gone=True), False),  # of a peer that left
        (RouteNotice(Route(IPv4Network("0.0.0.0/0"), 2)), False),
    ],
)
def test_only_what_says_that_a_wanted_route_is_not_as_it_should_be_leads_to_a_look(news, matters):
    assert concerns(KernelNotice(routes=(news,)), TABLE) == matters


def test_more_news_than_are_kept_lead_to_a_look_whatever_they_were():
    elsewhere = KernelNotice(routes=(RouteNotice(Route(IPv4Network("0.0.0.0/0"), 2)),))
    flood = KernelNotice()
    for _ in range(MOST):
        flood = flood.joined(elsewhere)
    assert not concerns(flood, TABLE)
    assert concerns(flood.joined(elsewhere), TABLE)
    assert flood.joined(elsewhere).routes == ()
