"""Route lookup: the route, device and gateway for a destination, as the kernel chooses them."""

import errno
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.netlink import Request, attribute, attributes, fixed, number
from flanneld_py.kernel.next_hop_messages import RTNEXTHOP
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    RTA_DST,
    RTA_GATEWAY,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PRIORITY,
    RTM_GETROUTE,
    RTMSG,
    RTN_UNICAST,
    U32,
)
from flanneld_py.subnet import Address, Network

__all__ = ["Match", "lookup"]

RTM_F_FIB_MATCH: Final = 0x2000
"""linux/rtnetlink.h: return the matching route itself, not the resolved result."""

NONE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL, errno.EAFNOSUPPORT, errno.ENODEV}
)
"""Errors that mean no packet leaves: no route, or an unreachable, prohibit or blackhole route."""


@dataclass(frozen=True, slots=True)
class Match:
    """A unicast route, of any table; the gateway is None if the destination is on-link."""

    destination: Network
    device: int
    gateway: Address | None
    protocol: int
    metric: int


def lookup(channel: Channel, address: Address, device: int = 0) -> Match | None:
    """Look up the route to an address, optionally through `device`; None if packets do not leave.

    Raises `OSError` if the kernel cannot be asked.
    """
    family = AF_INET if address.version == 4 else AF_INET6
    payload = RTMSG.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
    payload += attribute(RTA_DST, address.packed)
    if device:
        payload += U32.pack(8, RTA_OIF, device)
    try:
        data, message = channel.ask(Request(RTM_GETROUTE, 0, payload))
    except OSError as error:
        if error.errno in NONE:
            return None
        raise
    _, length, _, _, _, protocol, _, kind, _ = fixed(RTMSG, data, message.start, message.end)
    if kind != RTN_UNICAST:
        return None
    found = attributes(data, message.start + RTMSG.size, message.end)
    index, gateway = number(found.get(RTA_OIF)), found.get(RTA_GATEWAY)
    if hops := found.get(RTA_MULTIPATH):  # the first of several next hops
        size, _, _, index = RTNEXTHOP.unpack_from(hops)
        gateway = attributes(hops, RTNEXTHOP.size, size).get(RTA_GATEWAY)
    packed = found.get(RTA_DST, bytes(address.max_prefixlen // 8))
    destination: Network
    via: Address | None = None
    if family == AF_INET:
        destination = IPv4Network((packed, length))
        via = None if gateway is None or len(gateway) != 4 else IPv4Address(gateway)
    else:
        destination = IPv6Network((packed, length))
        via = None if gateway is None else IPv6Address(gateway)
    return Match(destination, index, via, protocol, number(found.get(RTA_PRIORITY)))
