"""Which packets a `Match` means, as the kernel compares them: 32-bit words of the network header. Pure.

Both the filters of tc(8) and the XDP program are made from this one form.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from lab.faults.impairment.model import PROTOCOLS, WITH_PORTS, Match

__all__ = ["ETH_P_IP", "ETH_P_IPV6", "Key", "Selector", "selectors"]

ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD
"""linux/if_ether.h."""

WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Key:
    """A word of the header, at an offset in bytes: it matches where word & mask is the value.

    struct tc_u32_key of linux/pkt_cls.h, in the host's byte order.
    """

    offset: int
    value: int
    mask: int


@dataclass(frozen=True, slots=True)
class Selector:
    """Packets of one kind in which all of these keys match; without any, all of that kind."""

    ethertype: int
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a header has what is looked for: RFC 791, 3.1; RFC 8200, 3. Offsets in bytes."""

    ethertype: int
    protocol_at: Key
    """Its word and mask; the value is to be filled in."""
    protocol_shift: int
    source: int
    destination: int
    ports: int
    first_ports: tuple[Key, ...]
    """What else must hold for the ports to be at their place."""


IPV4 = Layout(
    ETH_P_IP, Key(8, 0, 0x00FF0000), 16, 12, 16, 20,
    # No options (IHL 5), and no fragment but the first.
    (Key(0, 0x05000000, 0x0F000000), Key(4, 0, 0x00001FFF)),
)  # fmt: skip
IPV6 = Layout(ETH_P_IPV6, Key(4, 0, 0x0000FF00), 8, 8, 24, 40, ())


def selectors(match: Match, *, outgoing: bool) -> tuple[Selector, ...]:
    """The alternatives: a packet is meant if one of them matches."""
    found = []
    for layout, version in ((IPV4, 4), (IPV6, 6)):
        for peer in _peers(match, version):
            where = layout.destination if outgoing else layout.source
            address = tuple(_address(where, peer)) if peer else ()
            for protocol in _protocols(match):
                number = PROTOCOLS[protocol][version == 6] if protocol else None
                for port in _ports(match, layout):
                    keys = (*address, *_protocol(layout, number), *port)
                    found.append(Selector(layout.ethertype, keys))
    return tuple(found)


def _peers(match: Match, version: int) -> tuple[IPv4Network | IPv6Network | None, ...]:
    if not match.peers:
        return (None,)
    return tuple(peer for peer in match.peers if peer.version == version)


def _protocols(match: Match) -> tuple[str, ...]:
    if match.port and not match.protocol:
        return WITH_PORTS
    return (match.protocol,)


def _address(offset: int, peer: IPv4Network | IPv6Network) -> Iterator[Key]:
    size = peer.max_prefixlen
    value, mask = int(peer.network_address), int(peer.netmask)
    for place in range(size // 32):
        shift = size - 32 * (place + 1)
        part = mask >> shift & WORD
        if part:
            yield Key(offset + 4 * place, value >> shift & WORD, part)


def _protocol(layout: Layout, number: int | None) -> tuple[Key, ...]:
    if number is None:
        return ()
    at = layout.protocol_at
    return (Key(at.offset, number << layout.protocol_shift, at.mask),)


def _ports(match: Match, layout: Layout) -> tuple[tuple[Key, ...], ...]:
    """Either end's: RFC 768 and RFC 9293, 3.1, have both in the first word."""
    if not match.port:
        return ((),)
    source = Key(layout.ports, match.port << 16, 0xFFFF0000)
    destination = Key(layout.ports, match.port, 0x0000FFFF)
    return ((*layout.first_ports, source), (*layout.first_ports, destination))
