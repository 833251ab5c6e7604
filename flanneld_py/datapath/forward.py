"""What to do with one packet: the udp backend's decisions, as values that its loops perform.

A packet is a raw inner IPv4 packet: one datagram of the overlay carries exactly one. Its TTL goes down by one
where it leaves a node, and again where it enters one, as with v0.5.5's proxy; the loops see to that.
"""

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
"""Bytes of a datagram around a packet: an IPv4 header without options and a UDP header."""


class Peer(NamedTuple):
    """The node that holds a subnet.

    Named tuples here, because some are made for a packet, and they cost a third of a frozen dataclass.
    """

    endpoint: tuple[str, int]
    """Where it receives datagrams, as socket.sendto takes it: its public address and the backend's port."""

    mtu: int
    """Bytes that an inner packet may have on the path to it."""

    paced: bool = False
    """Whether it may be flannel's own proxy, which loses datagrams that come too fast (`pacing`)."""

    @property
    def node(self) -> str:
        """Its public address."""
        return self.endpoint[0]


class Split(NamedTuple):
    """Send the packet to this node in fragments of at most `peer.mtu` bytes (`packet.fragments`)."""

    peer: Peer


class Reply(NamedTuple):
    """Drop the packet for this reason, and send `packet`, an ICMP error, to whom it is addressed to."""

    packet: bytes
    reason: str


class Drop(NamedTuple):
    """Do nothing more with the packet; `reason` is one of a few texts, fit to be counted."""

    reason: str


TOO_SHORT: Final = Drop("shorter than an IPv4 header")
NOT_IPV4: Final = Drop("not IPv4")
BAD_HEADER_LENGTH: Final = Drop("bad header length")
BAD_TOTAL_LENGTH: Final = Drop("total length differs from the packet's")
TTL_EXCEEDED: Final = Drop("TTL reached zero")
NO_ROUTE: Final = Drop("unknown destination")
TOO_LONG: Final = Drop("longer than the path takes, and may not be fragmented")
SPOOFED: Final = Drop("the sending node does not hold the source's subnet")
NOT_OURS: Final = Drop("the destination is not in our subnet")
MANY_HOSTS: Final = Drop("the destination is a broadcast or multicast address")
NO_LEASE: Final = Drop("no lease")

MULTICAST: Final = range(0xE0000000, 0xF0000000)
"""224.0.0.0/4 (RFC 5771). 240.0.0.0/4 is reserved, and some number their pods from it."""

BROADCAST: Final = 0xFFFFFFFF
"""Everybody's on a link (RFC 919)."""


class ForwardTable:
    """Address -> node, by longest prefix. A reader in another thread sees a change or does not.

    `broadcast` is the overlay network's broadcast address, about which no ICMP error is due.
    """

    __slots__ = ("_levels", "broadcast")

    def __init__(self, network: IPv4Network | None = None) -> None:
        self.broadcast = None if network is None else int(network.broadcast_address)
        # (network mask, {network address: peer}), longest prefix first: usually there is one.
        self._levels: tuple[tuple[int, dict[int, Peer]], ...] = ()

    @classmethod
    def of(cls, peers: Mapping[IPv4Network, Peer], network: IPv4Network | None = None) -> "ForwardTable":
        """The table of the peers' subnets within `network`."""
        table = cls(network)
        for subnet, peer in peers.items():
            table.put(subnet, peer)
        return table

    def put(self, subnet: IPv4Network, peer: Peer) -> None:
        """From now on the subnet is that node's."""
        mask = int(subnet.netmask)
        level = next((level for other, level in self._levels if other == mask), None)
        if level is None:
            level = {}
            self._levels = tuple(sorted([*self._levels, (mask, level)], key=lambda item: -item[0]))
        level[int(subnet.network_address)] = peer

    def remove(self, subnet: IPv4Network) -> None:
        """From now on the subnet is nobody's."""
        for mask, level in self._levels:
            if mask == int(subnet.netmask):
                level.pop(int(subnet.network_address), None)

    def lookup(self, address: int) -> Peer | None:
        """The node of the longest matching subnet; None where no node holds one."""
        for mask, level in self._levels:
            peer = level.get(address & mask)
            if peer is not None:
                return peer
        return None


@dataclass(frozen=True, slots=True)
class Mandate:
    """What a lease entitles us to: carry packets between `subnet`, ours, and those of the table.

    `tunnel` is our address on the TUN device; `until` is in seconds of the loop's clock. With `check_source`
    a node may send us only packets from subnets that it holds to ours; without, what it likes.
    """

    tunnel: IPv4Address
    subnet: IPv4Network
    table: ForwardTable
    until: float
    check_source: bool = True
    first: int = field(init=False, repr=False)
    last: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Numbers to compare with, once and not for each packet."""
        object.__setattr__(self, "first", int(self.subnet.network_address))
        object.__setattr__(self, "last", int(self.subnet.broadcast_address))


# What must be known of every packet: version+ihl, tot_len, frag_off, ttl, saddr, daddr (struct iphdr).
_FIELDS: Final = Struct("!BxHxxHBxxxII")


def route(packet: Buffer, mandate: Mandate, longest: int = 0) -> Peer | Split | Reply | Drop:
    """A packet that this host routed into the tunnel: to the node that holds its destination's subnet.

    `longest` are the bytes of the longest segment that a super-packet of TSO stands for; 0: this is none.
    A packet for an unknown destination is answered with ICMP net unreachable, whatever its TTL; one that is
    too long for the path and may not be fragmented, and one whose TTL reaches zero, with what is due there.
    """
    size = len(packet)
    if size < HEADER_LENGTH:
        return TOO_SHORT
    first, total, place, ttl, _, destination = _FIELDS.unpack_from(packet)
    # 0x45, version 4 and no options, is nearly every packet: the thorough look is for the rest.
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
    """A packet that came in a datagram from this address: None if it is to be delivered to this host.

    Only its header is looked at: for the segments of one TCP connection, one after the other, one look will
    do if they have it in common.
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
    """What to tell the sender of a packet that was admitted, whose datagram came in fragments.

    `fragment` are the bytes of the longest of them. The path is narrower than either end knows; a sender that
    asks to be told (DF is set) is told what passes in one piece. None where nothing is to be told.
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
