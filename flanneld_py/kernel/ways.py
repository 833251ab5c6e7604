"""Where packets leave the machine: rtnetlink's routes, as far as that matters (linux/rtnetlink.h). Pure."""

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flanneld_py.interface import Way
from flanneld_py.kernel.netlink import Request, attribute, attributes, number
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    RT_TABLE_MAIN,
    RTA_DST,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PREFSRC,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_GETROUTE,
    RTMSG,
    RTN_UNICAST,
)
from flanneld_py.subnet import Address

__all__ = ["default_way", "get_route", "way"]

RTNEXTHOP: Final = struct.Struct("=HBBi")  # length, flags, weight, index


def get_route(address: Address) -> Request:
    """Ask which way packets to this address go."""
    family = AF_INET if address.version == 4 else AF_INET6
    payload = RTMSG.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    return Request(RTM_GETROUTE, 0, payload + attribute(RTA_DST, address.packed))


def way(data: bytes, start: int, end: int) -> Way | None:
    """The way of an RTM_NEWROUTE: its first next hop, where it has several."""
    found = attributes(data, start + RTMSG.size, end)
    index = number(found.get(RTA_OIF))
    if hops := found.get(RTA_MULTIPATH):
        _, _, _, index = RTNEXTHOP.unpack_from(hops)
    source = found.get(RTA_PREFSRC)
    if not index:
        return None
    return Way(index, None if source is None else _address(source))


def _address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def default_way(family: int, data: bytes, start: int, end: int) -> tuple[int, Way] | None:
    """Metric and way, if the route is a default route of this family; "unreachable default" is none."""
    its, length, _, _, table, _, _, kind, _ = RTMSG.unpack_from(data, start)
    if its != family or length or kind != RTN_UNICAST:
        return None
    found = attributes(data, start + RTMSG.size, end)
    where = way(data, start, end)
    if (number(found.get(RTA_TABLE)) or table) != RT_TABLE_MAIN or where is None:
        return None
    return number(found.get(RTA_PRIORITY)), where
