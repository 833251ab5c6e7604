"""Decoding of next hops from rtnetlink routes (linux/rtnetlink.h). Pure."""

import struct
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.netlink import Request, attribute, attributes, number
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    RT_TABLE_MAIN,
    RTA_DST,
    RTA_GATEWAY,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    RTA_VIA,
    RTM_GETROUTE,
    RTMSG,
    RTN_UNICAST,
)
from flanneld_py.subnet import Address, Network
from flanneld_py.underlay.interface import NextHop

__all__ = ["default_next_hop", "get_route", "next_hop", "next_hop_to_a_host", "sources"]

RTNEXTHOP: Final = struct.Struct("=HBBi")  # length, flags, weight, index
RTVIA: Final = struct.Struct("=H")  # family, followed by the address


def get_route(address: Address) -> Request:
    """Request the route to an address."""
    family = AF_INET if address.version == 4 else AF_INET6
    payload = RTMSG.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    return Request(RTM_GETROUTE, 0, payload + attribute(RTA_DST, address.packed))


def next_hop(data: bytes, start: int, end: int) -> NextHop | None:
    """Decode the next hop of an RTM_NEWROUTE, the first one if it has several."""
    found = attributes(data, start + RTMSG.size, end)
    source = found.get(RTA_PREFSRC)
    index = number(found.get(RTA_OIF))
    if hops := found.get(RTA_MULTIPATH):
        length, _, _, index = RTNEXTHOP.unpack_from(hops)
        found = attributes(hops, RTNEXTHOP.size, min(length, len(hops)))
    if not index:
        return None
    return NextHop(index, None if source is None else _address(source), _gateway(found))


def next_hop_to_a_host(data: bytes, start: int, end: int) -> NextHop | None:
    """Like `next_hop`, but None for our own address and for broadcast or multicast."""
    *_, kind, _ = RTMSG.unpack_from(data, start)
    return next_hop(data, start, end) if kind == RTN_UNICAST else None


def _gateway(found: Mapping[int, bytes]) -> Address | None:
    if RTA_VIA in found:  # a gateway of the other address family
        return _address(found[RTA_VIA][RTVIA.size :])
    return _address(found[RTA_GATEWAY]) if RTA_GATEWAY in found else None


def _address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def sources(routes: Sequence[Route], addresses: Sequence[Address]) -> tuple[Address, ...]:
    """Return those of an interface's addresses that its routes name as source, best first.

    First comes the source towards the default gateway, then the sources for the rest of the link, in the
    order of `addresses`. Sources of routes with a gateway come last: an administrator may have put a virtual
    address there.
    """
    near: list[tuple[Network, Address]] = []
    far: list[Address] = []
    for route in routes:
        if route.source is not None and route.gateway is None:
            near.append((route.destination, route.source))
        elif route.source is not None:
            far.append(route.source)
    best: list[Address] = []
    defaults = [route for route in routes if not route.destination.prefixlen and route.gateway is not None]
    for default in sorted(defaults, key=lambda route: route.metric):
        ways = [(to.prefixlen, source) for to, source in near if default.gateway in to]
        best += [source for _, source in sorted(ways, key=lambda next_hop: -next_hop[0])[:1]]
    on_link = {source for _, source in near}
    ordered = (*best, *(address for address in addresses if address in on_link), *far)
    return tuple(address for address in dict.fromkeys(ordered) if address in addresses)


def default_next_hop(family: int, data: bytes, start: int, end: int) -> tuple[int, NextHop] | None:
    """Return metric and next hop if the route is a unicast default route of this address family."""
    its, length, _, _, table, _, _, kind, _ = RTMSG.unpack_from(data, start)
    if its != family or length or kind != RTN_UNICAST:
        return None
    found = attributes(data, start + RTMSG.size, end)
    where = next_hop(data, start, end)
    if (number(found.get(RTA_TABLE)) or table) != RT_TABLE_MAIN or where is None:
        return None
    return number(found.get(RTA_PRIORITY)), where
