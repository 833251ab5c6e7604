"""Encoding and decoding of entries as rtnetlink messages. Pure.

See rtnetlink(7), linux/rtnetlink.h and linux/neighbour.h. The codec is our own because an overlay of
thousands of machines means tens of thousands of messages at once, and a general library takes longer for each
than the kernel does.
"""

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from flanneld_py.kernel.entries import PROTOCOL, Add, Change, FdbEntry, Neighbour, Route, SeenEntry
from flanneld_py.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Request,
    attribute,
    attributes,
    fixed,
    number,
)
from flanneld_py.subnet import Address, Network

__all__ = ["AF_BRIDGE", "AF_INET", "AF_INET6", "RTM_DELROUTE", "RTM_NEWNEIGH", "RTM_NEWROUTE"]
__all__ += [
    "blackhole",
    "dump_fdb",
    "dump_neighbours",
    "dump_routes",
    "encode",
    "seen_neighbour",
    "seen_route",
]

# linux/socket.h
AF_INET: Final = 2
AF_BRIDGE: Final = 7
AF_INET6: Final = 10

# linux/rtnetlink.h
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTMSG: Final = struct.Struct("=8BI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags
RT_TABLE_MAIN: Final = 254
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_NOWHERE = 0, 253, 255
RTN_UNICAST, RTN_BLACKHOLE = 1, 6
RTM_F_CLONED: Final = 0x200
RTNH_F_ONLINK: Final = 4
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_METRICS, RTA_MULTIPATH = 1, 4, 5, 6, 7, 8, 9
RTA_TABLE, RTA_VIA, RTA_ENCAP, RTA_NH_ID = 15, 18, 22, 30
SEVERAL: Final = frozenset({RTA_MULTIPATH, RTA_NH_ID})
ALTERED: Final = frozenset({RTA_METRICS, RTA_MULTIPATH, RTA_VIA, RTA_ENCAP, RTA_NH_ID})

IP6_RT_PRIO_USER: Final = 1024  # linux/ipv6_route.h: the kernel's default, used for metric 0

# linux/neighbour.h
NDMSG: Final = struct.Struct("=B3xiHBB")  # family, ifindex, state, flags, type
NDA_DST, NDA_LLADDR, NDA_PORT, NDA_VNI, NDA_IFINDEX, NDA_PROTOCOL, NDA_NH_ID = 1, 2, 6, 7, 8, 12, 13
OTHER_WAY: Final = frozenset({NDA_PORT, NDA_VNI, NDA_IFINDEX, NDA_NH_ID})
NUD_INCOMPLETE, NUD_FAILED, NUD_PERMANENT = 0x01, 0x20, 0x80
NTF_SELF, NTF_EXT_LEARNED = 0x02, 0x10

# Layouts of the attribute sizes that entries need: length and type, then the value.
BYTES_4: Final = struct.Struct("=HH4s")
BYTES_16: Final = struct.Struct("=HH16s")
U32: Final = struct.Struct("=HHI")
MAC: Final = struct.Struct("=HH6s2x")

PROTOCOL_OF_NEIGHBOUR: Final = attribute(NDA_PROTOCOL, bytes([PROTOCOL]))


def encode(change: Change) -> Request:
    """Encode a change. Raises `ValueError` for an impossible entry: an IPv4 route via IPv6, for example."""
    entry, put = change.entry, isinstance(change, Add)
    flags = NLM_F_CREATE | NLM_F_REPLACE if put else 0
    if isinstance(entry, Route):
        return Request(RTM_NEWROUTE if put else RTM_DELROUTE, flags, _route(entry, put))
    if isinstance(entry, Neighbour):
        family = AF_INET if entry.address.version == 4 else AF_INET6
        payload = NDMSG.pack(family, entry.device, NUD_PERMANENT, 0, 0) + _address(NDA_DST, entry.address)
        if put:
            payload += _mac(entry.mac) + PROTOCOL_OF_NEIGHBOUR
    else:
        payload = NDMSG.pack(AF_BRIDGE, entry.device, NUD_PERMANENT, NTF_SELF | NTF_EXT_LEARNED, 0)
        payload += _mac(entry.mac) + _address(NDA_DST, entry.remote)
    return Request(RTM_NEWNEIGH if put else RTM_DELNEIGH, flags, payload)


def _route(route: Route, put: bool) -> bytes:
    network = route.destination.network_address
    family = AF_INET if network.version == 4 else AF_INET6
    if put:
        scope, kind = RT_SCOPE_UNIVERSE if route.gateway is not None else RT_SCOPE_LINK, RTN_UNICAST
    else:  # any scope and type: a route of somebody else may be of another type
        scope, kind = RT_SCOPE_NOWHERE, 0
    flags = RTNH_F_ONLINK if route.onlink and put else 0
    length = route.destination.prefixlen
    payload = RTMSG.pack(family, length, 0, 0, RT_TABLE_MAIN, route.protocol, scope, kind, flags)
    payload += _address(RTA_DST, network)
    if route.device:
        payload += U32.pack(8, RTA_OIF, route.device)
    for kind, address in ((RTA_GATEWAY, route.gateway), (RTA_PREFSRC, route.source)):
        if address is not None:
            if address.version != network.version:
                raise ValueError(f"{route}: not all of one address family")
            payload += _address(kind, address)
    metric = route.metric or (IP6_RT_PRIO_USER if family == AF_INET6 else 0)
    return payload + U32.pack(8, RTA_PRIORITY, metric) if metric else payload


def blackhole(network: Network, metric: int, protocol: int) -> Request:
    """Request a blackhole route for this network; it is an error if the route exists."""
    family = AF_INET if network.version == 4 else AF_INET6
    payload = RTMSG.pack(
        family, network.prefixlen, 0, 0, RT_TABLE_MAIN, protocol, RT_SCOPE_UNIVERSE, RTN_BLACKHOLE, 0
    )
    payload += _address(RTA_DST, network.network_address) + U32.pack(8, RTA_PRIORITY, metric)
    return Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, payload)


def _address(kind: int, address: Address) -> bytes:
    packed = address.packed
    return BYTES_4.pack(8, kind, packed) if len(packed) == 4 else BYTES_16.pack(20, kind, packed)


def _mac(mac: str) -> bytes:
    return MAC.pack(10, NDA_LLADDR, bytes.fromhex(mac.replace(":", "")))


def _as_address(packed: bytes) -> Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


# Dumps. Kernels before 4.20 do not support filters, so they may return more than requested.


def dump_routes(family: int, device: int = 0) -> Request:
    """Request the routes of the main table, of all devices or of one."""
    payload = RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + U32.pack(8, RTA_TABLE, RT_TABLE_MAIN)
    payload += U32.pack(8, RTA_OIF, device) if device else b""
    return Request(RTM_GETROUTE, NLM_F_DUMP, payload)


def dump_neighbours(family: int, device: int) -> Request:
    """Request the neighbours of a device, or of all (0)."""
    payload = NDMSG.pack(family, 0, 0, 0, 0) + U32.pack(8, NDA_IFINDEX, device)
    return Request(RTM_GETNEIGH, NLM_F_DUMP, payload)


def dump_fdb(device: int) -> Request:
    """Request the FDB of a device."""
    return Request(RTM_GETNEIGH, NLM_F_DUMP, NDMSG.pack(AF_BRIDGE, device, 0, 0, 0))


def seen_route(data: bytes, start: int, end: int) -> SeenEntry | None:
    """Decode an RTM_NEWROUTE; None if it cannot conflict with ours: another table, a source, a TOS."""
    family, length, src_len, tos, table, protocol, _, kind, flags = fixed(RTMSG, data, start, end)
    found = attributes(data, start + RTMSG.size, end)
    table = number(found.get(RTA_TABLE)) or table
    if table != RT_TABLE_MAIN or src_len or tos or flags & RTM_F_CLONED:
        return None
    destination: IPv4Network | IPv6Network
    metric = number(found.get(RTA_PRIORITY))
    if family == AF_INET:
        destination = IPv4Network((found.get(RTA_DST, bytes(4)), length))
    elif family == AF_INET6:
        destination = IPv6Network((found.get(RTA_DST, bytes(16)), length))
        metric = 0 if metric == IP6_RT_PRIO_USER else metric
    else:
        return None
    gateway, source = found.get(RTA_GATEWAY), found.get(RTA_PREFSRC)
    several = not found.keys().isdisjoint(SEVERAL)
    route = Route(
        destination,
        0 if several else number(found.get(RTA_OIF)),
        None if gateway is None or several else _as_address(gateway),
        None if source is None else _as_address(source),
        bool(flags & RTNH_F_ONLINK) and not several,
        metric,
        protocol,
    )
    altered = kind != RTN_UNICAST or not found.keys().isdisjoint(ALTERED)
    return SeenEntry(route, protocol == PROTOCOL, altered)


def seen_neighbour(data: bytes, start: int, end: int) -> SeenEntry | None:
    """Decode the neighbour or FDB entry in an RTM_NEWNEIGH; None if it is unresolved."""
    family, device, state, flags, _ = fixed(NDMSG, data, start, end)
    found = attributes(data, start + NDMSG.size, end)
    mac, to = found.get(NDA_LLADDR, b""), found.get(NDA_DST)
    if len(mac) != 6 or to is None or state & (NUD_INCOMPLETE | NUD_FAILED):
        return None
    altered = not state & NUD_PERMANENT
    if family == AF_BRIDGE:
        entry = FdbEntry(device, mac.hex(":"), _as_address(to))
        altered = altered or not found.keys().isdisjoint(OTHER_WAY)
        return SeenEntry(entry, bool(flags & NTF_EXT_LEARNED), altered)
    if family not in (AF_INET, AF_INET6):
        return None
    ours = number(found.get(NDA_PROTOCOL)) == PROTOCOL
    return SeenEntry(Neighbour(device, _as_address(to), mac.hex(":")), ours, altered)
