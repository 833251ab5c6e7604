"""This machine's own addresses, and the gateways to other networks."""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from typing import Final

from flanneld_py.kernel.addresses import RTM_NEWADDR, dump_addresses, held_address
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.limits import FLANNEL
from flanneld_py.kernel.lookup import lookup
from flanneld_py.subnet import Address

__all__ = ["ELSEWHERE", "LocalAddresses", "look"]

ELSEWHERE: Final[tuple[Address, ...]] = (IPv4Address("192.0.2.1"), IPv6Address("2001:db8::1"))
"""Documentation addresses (RFC 5737, RFC 3849): packets to them would take the default route."""


@dataclass(frozen=True, slots=True)
class LocalAddresses:
    """Addresses of this machine.

    `own` maps each address to its device's name; `broadcasts` are the broadcast addresses of the devices'
    networks.
    """

    own: Mapping[Address, str]
    broadcasts: frozenset[Address]
    gateways: frozenset[Address]


def look(reached: Iterable[Address]) -> LocalAddresses:
    """Read the current state; `gateways` lead to other networks and to `reached`. Raises `OSError`."""
    own: dict[Address, str] = {}
    broadcasts: set[Address] = set()
    names = dict(socket.if_nameindex())
    with Channel() as channel:
        for data, message in channel.dump(dump_addresses(0), RTM_NEWADDR):
            held = held_address(data, message.start, message.end)
            # What our own devices have is taken from the lease.
            if held is None or names.get(held.device, FLANNEL).startswith(FLANNEL):
                continue
            own[held.address.ip] = names[held.device]
            # RFC 3021: a network of two addresses has no broadcast address.
            if isinstance(held.address, IPv4Interface) and held.address.network.prefixlen < 31:
                broadcasts.add(held.address.network.broadcast_address)
        found = [lookup(channel, to) for to in (*ELSEWHERE, *reached)]
    gateways = {match.gateway for match in found if match is not None and match.gateway is not None}
    return LocalAddresses(own, frozenset(broadcasts), frozenset(gateways))
