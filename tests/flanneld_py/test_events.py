"""What the kernel tells by itself, as it tells it (rtnetlink(7))."""

import struct
from ipaddress import IPv4Network

import pytest

from flanneld_py.kernel.desired import KernelNotice, RouteNotice
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.events import GROUPS, heard

# linux/rtnetlink.h
RTM_NEWLINK, RTM_NEWADDR, RTM_NEWROUTE, RTM_DELROUTE = 16, 20, 24, 25


def message(kind: int, payload: bytes) -> bytes:
    """A netlink message (struct nlmsghdr): length, type, flags, sequence, port."""
    return struct.pack("=IHHII", 16 + len(payload), kind, 0, 0, 0) + payload


# struct rtmsg: AF_INET, /24, table main (254), protocol 241, scope link (253), unicast (1); RTA_DST, RTA_OIF
ROUTE = bytes([2, 24, 0, 0, 254, 241, 253, 1]) + bytes(4)
ROUTE += struct.pack("=HH4B", 8, 1, 10, 2, 52, 0) + struct.pack("=HHI", 8, 4, 3)


def test_the_groups_are_those_of_links_addresses_and_routes():
    """linux/rtnetlink.h: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE."""
    assert GROUPS == 1 | 0x10 | 0x40 | 0x100 | 0x400


@pytest.mark.parametrize("kind", [RTM_NEWLINK, RTM_NEWADDR])
def test_of_a_link_or_an_address_it_is_enough_to_know_that_there_is_something(kind):
    assert heard(message(kind, bytes(16))) == KernelNotice(links=True)


@pytest.mark.parametrize(("kind", "gone"), [(RTM_NEWROUTE, False), (RTM_DELROUTE, True)])
def test_of_a_route_it_is_told_which_came_or_went(kind, gone):
    route = Route(IPv4Network("10.2.52.0/24"), 3)
    assert heard(message(kind, ROUTE)) == KernelNotice(routes=(RouteNotice(route, gone),))


def test_routes_of_other_tables_are_none_of_ours():
    local = ROUTE[:4] + bytes([255]) + ROUTE[5:]
    assert heard(message(RTM_NEWROUTE, local)) == KernelNotice()
