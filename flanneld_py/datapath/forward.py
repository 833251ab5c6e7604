"""Forwarding decisions of the udp backend, returned as values that its packet loops carry out.

A packet is a raw inner IPv4 packet; each datagram of the overlay carries exactly one. As in v0.5.5's proxy,
its TTL is decremented once when it leaves a node and once when it enters one; the loops do that.

The fast path (fast_path.c) makes the same decisions, and leaves to the loops what it does not carry.
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from struct import Struct
from typing import Final, NamedTuple

from flanneld_py.datapath.icmp import fragmentation_needed, net_unreachable, time_exceeded
from flanneld_py.datapath.packet import DONT_FRAGMENT, HEADER_LENGTH, Buffer

__all__ = ["OVERHEAD", "Drop", "ForwardTable", "Mandate", "Peer", "Reply", "Split", "admit", "narrowed"]
__all__ += ["route"]

OVERHEAD: Final = 28
"""Encapsulation overhead in bytes: an IPv4 header without options and a UDP header."""


class Peer(NamedTuple):
    """The node that holds a subnet.

    A named tuple, as are the decisions below: some are created for each packet, and they cost a third of a
    frozen dataclass.
    """

    endpoint: tuple[str, int]
    """Address to send to, as socket.sendto takes it: the node's public address and the backend's port."""

    mtu: int
    """Inner MTU in bytes of the path to the node."""

    paced: bool = False
    """Whether the node may run flannel's own proxy, which loses datagrams that come too fast (see `pacing`).
    """

    @property
    def node(self) -> str:
        """Public address of the node."""
        return self.endpoint[0]


class Split(NamedTuple):
    """Send the packet to this peer in fragments of at most `peer.mtu` bytes (`packet.fragments`)."""

    peer: Peer


class Reply(NamedTuple):
    """Drop the packet for this reason and send `packet`, an ICMP error, to its destination address."""

    packet: bytes
    reason: str


class Drop(NamedTuple):
    """Drop the packet silently; `reason` is one of a few fixed texts, so it can label a counter."""

    reason: str


TOO_SHORT: Final = Drop("shorter than an IPv4 header")
NOT_IPV4: Final = Drop("not IPv4")
BAD_HEADER_LENGTH: Final = Drop("bad header length")
BAD_TOTAL_LENGTH: Final = Drop("total length differs from the packet's")
TTL_EXCEEDED: Final = Drop("TTL reached zero")
NO_ROUTE: Final = Drop("unknown destination")
TOO_LONG: Final = Drop("exceeds the path MTU and must not be fragmented")
SPOOFED: Final = Drop("the sending node does not hold the source's subnet")
NOT_OURS: Final = Drop("the destination is not in our subnet")
MANY_HOSTS: Final = Drop("the destination is a broadcast or multicast address")
NO_LEASE: Final = Drop("no lease")

MULTICAST: Final = range(0xE0000000, 0xF0000000)
"""224.0.0.0/4 (RFC 5771). 240.0.0.0/4 is excluded: it is reserved, and some networks use it for their pods.
"""

BROADCAST: Final = 0xFFFFFFFF
"""Limited broadcast address (RFC 919)."""


class ForwardTable:
    """Forwarding table from address to peer, by longest prefix match.

    Reads from another thread see a change either completely or not at all. `broadcast` is the overlay
    network's broadcast address, about which no ICMP error is sent. `changes` counts the changes: one number,
    which compiled code looks at.
    """

    __slots__ = ("_levels", "broadcast", "changes")

    def __init__(self, network: IPv4Network | None = None) -> None:
        self.changes = array("Q", [0])
        self.broadcast = None if network is None else int(network.broadcast_address)
        # (netmask, {network address: peer}), longest prefix first; usually there is only one.
        self._levels: tuple[tuple[int, dict[int, Peer]], ...] = ()

    @classmethod
    def of(cls, peers: Mapping[IPv4Network, Peer], network: IPv4Network | None = None) -> "ForwardTable":
        """Build the table of the peers' subnets within `network`."""
        table = cls(network)
        for subnet, peer in peers.items():
            table.put(subnet, peer)
        return table

    def put(self, subnet: IPv4Network, peer: Peer) -> None:
        """Route the subnet to this peer."""
        mask = int(subnet.netmask)
        level = next((level for other, level in self._levels if other == mask), None)
        if level is None:
            level = {}
            self._levels = tuple(sorted([*self._levels, (mask, level)], key=lambda item: -item[0]))
        level[int(subnet.network_address)] = peer
        self.changes[0] += 1

    def remove(self, subnet: IPv4Network) -> None:
        """Remove the subnet's entry."""
        for mask, level in self._levels:
            if mask == int(subnet.netmask):
                level.pop(int(subnet.network_address), None)
        self.changes[0] += 1

    def lookup(self, address: int) -> Peer | None:
        """Return the peer whose subnet is the longest match; None if no subnet matches."""
        for mask, level in self._levels:
            peer = level.get(address & mask)
            if peer is not None:
                return peer
        return None


@dataclass(frozen=True, slots=True)
class Mandate:
    """Permission, granted by a lease, to carry packets between our `subnet` and those of the table.

    `tunnel` is our address on the TUN device; `until` is the expiry in seconds of the loop's clock. With
    `check_source` a node may send us only packets from subnets that it holds, to ours; otherwise it may send
    any packet.
    """

    tunnel: IPv4Address
    subnet: IPv4Network
    table: ForwardTable
    until: float
    check_source: bool = True
    first: int = field(init=False, repr=False)
    last: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Precompute the subnet's bounds as integers, so that it is not done for each packet."""
        object.__setattr__(self, "first", int(self.subnet.network_address))
        object.__setattr__(self, "last", int(self.subnet.broadcast_address))


# The fields needed of every packet: version+ihl, tot_len, frag_off, ttl, saddr, daddr (struct iphdr).
_FIELDS: Final = Struct("!BxHxxHBxxxII")


def route(packet: Buffer, mandate: Mandate, longest: int = 0) -> Peer | Split | Reply | Drop:
    """Decide about a packet that this host routed into the tunnel; a `Peer` means: send it there unchanged.

    `longest` is the length in bytes of the longest segment of a TSO super-packet; 0 if the packet is not one.
    A packet for an unknown destination is answered with ICMP net unreachable, whatever its TTL. One whose TTL
    reaches zero is answered with time exceeded, and one that exceeds the path MTU and must not be fragmented
    with fragmentation needed.
    """
    size = len(packet)
    if size < HEADER_LENGTH:
        return TOO_SHORT
    first, total, place, ttl, _, destination = _FIELDS.unpack_from(packet)
    # Nearly every packet begins with 0x45 (version 4, no options); only the others need a closer look.
    if (first != 0x45 or total != size) and (problem := _problem(first, total, size)) is not None:
        return problem
    table = mandate.table
    peer = table.lookup(destination)
    if peer is None:
        return _reply(net_unreachable(packet, mandate.tunnel, table.broadcast), NO_ROUTE)
    if ttl <= 1:
        return _reply(time_exceeded(packet, mandate.tunnel, table.broadcast), TTL_EXCEEDED)
    if (longest or size) > peer.mtu:
        if not place & DONT_FRAGMENT:
            return Split(peer)
        return _reply(fragmentation_needed(packet, mandate.tunnel, peer.mtu, table.broadcast), TOO_LONG)
    return peer


def admit(packet: Buffer, node: str, mandate: Mandate) -> Reply | Drop | None:
    """Decide about a packet that arrived in a datagram from this node; None means: deliver it to this host.

    Only the header is examined, so one call suffices for consecutive segments of a TCP connection that share
    their header fields.
    """
    size = len(packet)
    if size < HEADER_LENGTH:
        return TOO_SHORT
    first, total, _, ttl, source, destination = _FIELDS.unpack_from(packet)
    if (first != 0x45 or total != size) and (problem := _problem(first, total, size)) is not None:
        return problem
    if mandate.check_source:
        peer = mandate.table.lookup(source)
        if peer is None or peer.endpoint[0] != node:
            return SPOOFED
        if not mandate.first <= destination <= mandate.last:
            return NOT_OURS
    if destination in (mandate.last, BROADCAST) or destination in MULTICAST:
        return MANY_HOSTS
    if ttl <= 1:
        return _reply(time_exceeded(packet, mandate.tunnel, mandate.table.broadcast), TTL_EXCEEDED)
    return None


def narrowed(packet: Buffer, fragment: int, mandate: Mandate) -> bytes | None:
    """Return the ICMP error due for an admitted packet whose datagram arrived in fragments, if any.

    `fragment` is the length in bytes of the longest fragment. The path MTU is smaller than either end knows,
    so a sender that set DF is told which size passes without fragmentation.
    """
    _, _, place, _, _, _ = _FIELDS.unpack_from(packet)
    if not place & DONT_FRAGMENT or fragment <= OVERHEAD:
        return None
    return fragmentation_needed(packet, mandate.tunnel, fragment - OVERHEAD, mandate.table.broadcast)


def _reply(answer: bytes | None, drop: Drop) -> Reply | Drop:
    return drop if answer is None else Reply(answer, drop.reason)


def _problem(first: int, total: int, size: int) -> Drop | None:
    header_length = (first & 15) * 4
    if first >> 4 != 4:
        return NOT_IPV4
    if header_length < HEADER_LENGTH or header_length > size:
        return BAD_HEADER_LENGTH
    if total != size:
        return BAD_TOTAL_LENGTH
    return None
