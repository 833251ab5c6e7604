"""Keys and values of the fast path's maps, as fast_path.c has them. Pure."""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from flanneld_py.datapath.forward import MANY_HOSTS, NO_LEASE, NOT_OURS, SPOOFED, Drop, Mandate, Peer
from flanneld_py.monitor.statistics import Flow

__all__ = ["DROPS", "FIRST", "NO_FLOW", "NO_MANDATE", "Counts", "Place", "flow", "index", "mandate", "node"]
__all__ += ["SIZES", "number", "peer", "prefix"]

_MANDATE: Final = struct.Struct("=Q8x4s4s4sII2sH2s6x")
_PREFIX: Final = struct.Struct("=I4s")
_PEER: Final = struct.Struct("=4sHH")
_FLOW: Final = struct.Struct("=QQQQ8x14x2x")
_INDEX: Final = struct.Struct("=I")
_NUMBER: Final = struct.Struct("=Q")
_FAST: Final = 1
_FOREVER: Final = 2**63  # nanoseconds, 292 years

FIRST: Final = _INDEX.pack(0)
"""The only key of the map of mandates."""

NO_MANDATE: Final = bytes(_MANDATE.size)
NO_FLOW: Final = bytes(_FLOW.size)

STRAY: Final = Drop("sent to the inlet's port by a network")
WRAPPING: Final = Drop("the kernel refused the fast path a datagram's headers")
UNWRAPPING: Final = Drop("the kernel refused to take a packet out of its datagram for the fast path")

DROPS: Final = (SPOOFED, NOT_OURS, MANY_HOSTS, NO_LEASE, STRAY, WRAPPING, UNWRAPPING)
"""The reasons of enum drop, by these names and in its order."""

SIZES: Final = {
    "mandates": (_INDEX.size, _MANDATE.size),
    "peers": (_PREFIX.size, _PEER.size),
    "flows": (4, _FLOW.size),
    "drops": (_INDEX.size, _NUMBER.size),
}
"""Bytes of each map's keys and values."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where datagrams come to, and between which interfaces, by their index, packets are carried.

    `inlet` is the port of the inlet's socket; 0 without one.
    """

    address: IPv4Address
    port: int
    tun: int
    underlay: int
    inlet: int = 0


def mandate(given: Mandate, place: Place) -> bytes:
    """A struct mandate."""
    until = _FOREVER if math.isinf(given.until) else int(given.until * 1e9)
    return _MANDATE.pack(
        until,
        place.address.packed,
        given.subnet.network_address.packed,
        given.subnet.netmask.packed,
        place.tun,
        place.underlay,
        struct.pack("!H", place.port),
        given.check_source,
        struct.pack("!H", place.inlet),
    )


def prefix(subnet: IPv4Network) -> bytes:
    """A struct prefix: a key of the map of peers."""
    return _PREFIX.pack(subnet.prefixlen, subnet.network_address.packed)


def peer(of: Peer, *, fast: bool) -> bytes:
    """A struct peer."""
    return _PEER.pack(node(of), min(of.mtu, 0xFFFF), _FAST if fast else 0)


def node(of: Peer) -> bytes:
    """A key of the map of flows."""
    return IPv4Address(of.node).packed


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted of a node, or of several."""

    sent: Flow
    received: Flow

    def and_of(self, values: Iterable[bytes]) -> "Counts":
        """This, and what the CPUs' structs flow of one more add up to."""
        here = (self.sent.packets, self.sent.bytes, self.received.packets, self.received.bytes)
        total = [sum(column) for column in zip(here, *map(_FLOW.unpack, values), strict=True)]
        return Counts(Flow(*total[:2]), Flow(*total[2:]))


def flow(values: Iterable[bytes]) -> Counts:
    """What the CPUs' structs flow add up to."""
    return Counts(Flow(0, 0), Flow(0, 0)).and_of(values)


def index(place: int) -> bytes:
    """A key of an array."""
    return _INDEX.pack(place)


def number(values: Iterable[bytes]) -> int:
    """What the CPUs' counters add up to."""
    return sum(_NUMBER.unpack(value)[0] for value in values)
