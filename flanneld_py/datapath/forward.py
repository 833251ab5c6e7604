"""What to do with one packet: the udp backend's decisions, as values that the proxy performs.

A packet is a raw inner IPv4 packet: one datagram of the overlay carries exactly one. Its TTL goes down by one
here, where it leaves a node, and again where it enters one, as with v0.5.5's proxy.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from flanneld_py.datapath.packet import Buffer, decrement_ttl, net_unreachable

__all__ = ["Deliver", "Drop", "ForwardTable", "NextHop", "Reply", "Send", "inbound", "outbound"]

NextHop: TypeAlias = tuple[str, int]
"""Where a node receives datagrams, as socket.sendto takes it: its public IP and the backend's port."""


# Named tuples, because one is made for every packet and they cost a third of a frozen dataclass.
class Send(NamedTuple):
    """Send `packet` to the node at `next_hop`."""

    packet: bytearray
    next_hop: NextHop


class Reply(NamedTuple):
    """Give `packet`, which says that the destination is unreachable, back to this host."""

    packet: bytes


class Deliver(NamedTuple):
    """Give `packet`, which came from another node, to this host."""

    packet: bytearray


class Drop(NamedTuple):
    """Do nothing more with the packet; `reason` is one of a few texts, fit to be counted."""

    reason: str


TOO_SHORT: Final = Drop("shorter than an IPv4 header")
NOT_IPV4: Final = Drop("not IPv4")
BAD_HEADER_LENGTH: Final = Drop("bad header length")
BAD_TOTAL_LENGTH: Final = Drop("total length differs from the packet's")
TTL_EXCEEDED: Final = Drop("TTL reached zero")
NO_ROUTE: Final = Drop("unknown destination, and no ICMP error is due")


class ForwardTable:
    """Destination -> next hop, by longest prefix. A reader in another thread sees a change or does not.

    `broadcast` is the overlay network's broadcast address, about which no ICMP error is due.
    """

    __slots__ = ("_levels", "broadcast")

    def __init__(self, network: IPv4Network | None = None) -> None:
        self.broadcast = None if network is None else int(network.broadcast_address)
        # (network mask, {network address: next hop}), longest prefix first: usually there is one.
        self._levels: tuple[tuple[int, dict[int, NextHop]], ...] = ()

    @classmethod
    def of(
        cls, next_hops: Mapping[IPv4Network, NextHop], network: IPv4Network | None = None
    ) -> "ForwardTable":
        """The table of the peers' subnets within `network`."""
        table = cls(network)
        for subnet, next_hop in next_hops.items():
            table.put(subnet, next_hop)
        return table

    def put(self, subnet: IPv4Network, next_hop: NextHop) -> None:
        """From now on the subnet is reached there."""
        mask = int(subnet.netmask)
        level = next((level for other, level in self._levels if other == mask), None)
        if level is None:
            level = {}
            self._levels = tuple(sorted([*self._levels, (mask, level)], key=lambda item: -item[0]))
        level[int(subnet.network_address)] = next_hop

    def remove(self, subnet: IPv4Network) -> None:
        """From now on the subnet is reached nowhere."""
        for mask, level in self._levels:
            if mask == int(subnet.netmask):
                level.pop(int(subnet.network_address), None)

    def lookup(self, destination: int) -> NextHop | None:
        """The next hop of the longest matching subnet; None where no node holds one."""
        for mask, level in self._levels:
            next_hop = level.get(destination & mask)
            if next_hop is not None:
                return next_hop
        return None


# What must be known of every packet: version+ihl, tot_len, ttl, daddr (struct iphdr of linux/ip.h).
_FIELDS: Final = Struct("!BxH4xB7xI")


def outbound(packet: Buffer, table: ForwardTable, tun_ip: IPv4Address) -> Send | Reply | Drop:
    """A packet that this host routed into the tunnel: to the node that holds its destination's subnet.

    A packet for an unknown destination is answered with ICMP net unreachable from `tun_ip`, whatever its TTL;
    one whose TTL reaches zero is dropped.
    """
    size = len(packet)
    if size < _FIELDS.size:
        return TOO_SHORT
    first, total, ttl, destination = _FIELDS.unpack_from(packet)
    # 0x45, version 4 and no options, is nearly every packet: the thorough look is for the rest.
    if (first != 0x45 or total != size) and (problem := _problem(first, total, size)) is not None:
        return problem
    next_hop = table.lookup(destination)
    if next_hop is None:
        answer = net_unreachable(packet, tun_ip, table.broadcast)
        return NO_ROUTE if answer is None else Reply(answer)
    if ttl <= 1:
        return TTL_EXCEEDED
    return Send(decrement_ttl(packet), next_hop)


def inbound(packet: Buffer) -> Deliver | Drop:
    """A packet that another node sent: for this host, unless malformed or its TTL reaches zero."""
    size = len(packet)
    if size < _FIELDS.size:
        return TOO_SHORT
    first, total, ttl, _ = _FIELDS.unpack_from(packet)
    if (first != 0x45 or total != size) and (problem := _problem(first, total, size)) is not None:
        return problem
    if ttl <= 1:
        return TTL_EXCEEDED
    return Deliver(decrement_ttl(packet))


def _problem(first: int, total: int, size: int) -> Drop | None:
    header_length = (first & 15) * 4
    if first >> 4 != 4:
        return NOT_IPV4
    if header_length < _FIELDS.size or header_length > size:
        return BAD_HEADER_LENGTH
    if total != size:
        return BAD_TOTAL_LENGTH
    return None
