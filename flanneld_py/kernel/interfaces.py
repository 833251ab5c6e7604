"""The machine's interfaces, and where its packets leave: what the external interface is chosen from."""

import os
from ipaddress import ip_address, ip_interface
from socket import AF_INET, AF_INET6
from typing import Any, Final

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Candidate, Held, Routes, Way
from flanneld_py.subnet import Address

__all__ = ["look"]

RT_TABLE_MAIN: Final = 254  # linux/rtnetlink.h
RTN_UNICAST: Final = 1  # linux/rtnetlink.h


def look(can_reach: Address | None) -> tuple[tuple[Candidate, ...], Routes]:
    """All interfaces by index, and the ways out, one of them to the address `can_reach`. Raises `Fatal`."""
    try:
        with IPRoute() as ip:
            return _candidates(ip), _routes(ip, can_reach)
    except (NetlinkError, OSError) as error:
        raise Fatal(f"Listing the interfaces of this machine: {error}", code=Exit.KERNEL) from error


def _candidates(ip: IPRoute) -> tuple[Candidate, ...]:
    addresses: dict[int, list[Held]] = {}
    for item in ip.get_addr():
        # Of a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL else.
        own = item.get_attr("IFA_LOCAL") or item.get_attr("IFA_ADDRESS")
        flags = item.get_attr("IFA_FLAGS")
        held = Held(ip_interface((own, item["prefixlen"])), item["flags"] if flags is None else flags)
        addresses.setdefault(item["index"], []).append(held)
    made = (
        Candidate(
            str(link.get_attr("IFLA_IFNAME")),
            link["index"],
            link.get_attr("IFLA_MTU") or 0,
            link["flags"],
            tuple(addresses.get(link["index"], ())),
        )
        for link in ip.get_links()
    )
    return tuple(sorted(made, key=lambda candidate: candidate.index))


def _routes(ip: IPRoute, can_reach: Address | None) -> Routes:
    reach, why = None, ""
    if can_reach is not None:
        try:
            (route, *_) = ip.route("get", dst=str(can_reach))
            reach = _way(route)
        except NetlinkError as error:
            why = os.strerror(error.code)
    return Routes(_default(ip, AF_INET), _default(ip, AF_INET6), reach, why)


def _default(ip: IPRoute, family: int) -> Way | None:
    """The default route with the lowest metric in the main table; "unreachable default" is none."""
    found = [
        (route.get_attr("RTA_PRIORITY") or 0, way)
        for route in ip.get_routes(family=family, table=RT_TABLE_MAIN)
        if route["dst_len"] == 0 and route["type"] == RTN_UNICAST and (way := _way(route)) is not None
    ]
    return min(found, key=lambda item: item[0])[1] if found else None


def _way(route: Any) -> Way | None:
    """Where a route leaves: by its first next hop, where it has several."""
    hops = route.get_attr("RTA_MULTIPATH")
    index = hops[0]["oif"] if hops else route.get_attr("RTA_OIF")
    source = route.get_attr("RTA_PREFSRC")
    return None if index is None else Way(index, ip_address(source) if source else None)
