"""Routes on which packets end (-ip-blackhole-route), by pyroute2, which nothing else needs at the start."""

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from socket import AF_INET, AF_INET6
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.entries import BLACKHOLE as PROTOCOL
from flanneld_py.subnet import Network

__all__ = ["keep", "remove_all"]

RTN_BLACKHOLE: Final = 6  # linux/rtnetlink.h

LAST: Final = 0xFFFFFFFF
"""The metric of the route that is taken when there is no other: a bridge's own route comes first."""


def keep(networks: Iterable[Network], spares: Callable[[Network], bool]) -> int:
    """Have a blackhole route for each of these networks, and none else of ours; how many changes that took.

    `spares`: whether one that is there is another's, whose mark is the same. Raises `Fatal`, `OSError`.
    """
    wanted = set(networks)
    try:
        with IPRoute() as ip:
            there = set(_ours(ip))
            stale = [network for network in there - wanted if not spares(network)]
            for network in stale:
                _change(ip, "del", network)
            for network in wanted - there:
                _change(ip, "add", network)
            return len(stale) + len(wanted - there)
    except NetlinkError as error:
        words = os.strerror(error.code)
        raise Fatal(
            f"Making the blackhole route of {', '.join(map(str, wanted))}: {words}; leave "
            "-ip-blackhole-route out",
            code=Exit.KERNEL,
        ) from error


def remove_all() -> Iterator[str]:
    """Take away those of ours; what was there. Raises `OSError`."""
    try:
        with IPRoute() as ip:
            for network in list(_ours(ip)):
                _change(ip, "del", network)
                yield f"blackhole route {network}"
    except NetlinkError as error:
        raise OSError(error.code, f"Removing a blackhole route: {os.strerror(error.code)}") from error


def _ours(ip: IPRoute) -> Iterator[Network]:
    for family in (AF_INET, AF_INET6):
        for route in ip.get_routes(family=family):
            if route["type"] == RTN_BLACKHOLE and route["proto"] == PROTOCOL:
                yield ip_network((route.get_attr("RTA_DST"), route["dst_len"]))


def _change(ip: IPRoute, command: str, network: Network) -> None:
    try:
        ip.route(command, dst=str(network), type="blackhole", proto=PROTOCOL, priority=LAST)
    except NetlinkError as error:
        if not (command == "del" and error.code == errno.ESRCH):
            raise
