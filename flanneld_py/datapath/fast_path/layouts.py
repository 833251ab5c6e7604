"""Binary layouts of the fast path's map keys and values, matching fast_path.c. Pure."""

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
"""The only key of the map `mandates`."""

NO_MANDATE: Final = bytes(_MANDATE.size)
NO_FLOW: Final = bytes(_FLOW.size)

STRAY: Final = Drop("sent to the inlet's port from a network")
WRAPPING: Final = Drop("the kernel refused to encapsulate a packet of the fast path")
UNWRAPPING: Final = Drop("the kernel refused to decapsulate a packet of the fast path")

DROPS: Final = (SPOOFED, NOT_OURS, MANY_HOSTS, NO_LEASE, STRAY, WRAPPING, UNWRAPPING)
"""The drop reasons, in the order of enum drop."""

SIZES: Final = {
    "mandates": (_INDEX.size, _MANDATE.size),
    "peers": (_PREFIX.size, _PEER.size),
    "flows": (4, _FLOW.size),
    "drops": (_INDEX.size, _NUMBER.size),
}
"""Size in bytes of each map's keys and values."""


@dataclass(frozen=True, slots=True)
class Place:
    """Address and UDP port of the datagrams, and the indices of the interfaces to carry packets between.

    `inlet` is the port of the inlet's socket, or 0 if there is none.
    """

    address: IPv4Address
    port: int
    tun: int
    underlay: int
    inlet: int = 0


def mandate(given: Mandate, place: Place) -> bytes:
    """Encode a struct mandate."""
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
    """Encode a struct prefix, a key of the map `peers`."""
    return _PREFIX.pack(subnet.prefixlen, subnet.network_address.packed)


def peer(of: Peer, *, fast: bool) -> bytes:
    """Encode a struct peer."""
    return _PEER.pack(node(of), min(of.mtu, 0xFFFF), _FAST if fast else 0)


def node(of: Peer) -> bytes:
    """Encode a key of the map `flows`."""
    return IPv4Address(of.node).packed


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of one node or several."""

    sent: Flow
    received: Flow

    def and_of(self, values: Iterable[bytes]) -> "Counts":
        """Add the sum of another node's per-CPU structs flow."""
        here = (self.sent.packets, self.sent.bytes, self.received.packets, self.received.bytes)
        total = [sum(column) for column in zip(here, *map(_FLOW.unpack, values), strict=True)]
        return Counts(Flow(*total[:2]), Flow(*total[2:]))


def flow(values: Iterable[bytes]) -> Counts:
    """Sum the per-CPU structs flow of a node."""
    return Counts(Flow(0, 0), Flow(0, 0)).and_of(values)


def index(place: int) -> bytes:
    """Encode a key of an array map."""
    return _INDEX.pack(place)


def number(values: Iterable[bytes]) -> int:
    """Sum per-CPU counters."""
    return sum(_NUMBER.unpack(value)[0] for value in values)
