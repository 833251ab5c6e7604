"""What one machine leases, and the addresses that others reach it at: IPv4, IPv6, or both."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

__all__ = ["Address", "Addresses", "Network", "Subnet", "key", "parse_key"]

Network: TypeAlias = IPv4Network | IPv6Network
Address: TypeAlias = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Subnet:
    """The identity of a lease: a subnet of each family that the overlay has."""

    ipv4: IPv4Network | None = None
    ipv6: IPv6Network | None = None

    @property
    def networks(self) -> tuple[Network, ...]:
        """The one or two that it has."""
        return tuple(network for network in (self.ipv4, self.ipv6) if network is not None)

    def overlaps(self, other: "Subnet") -> bool:
        """Whether an address, of any family, is in both."""
        return _overlap(self.ipv4, other.ipv4) or _overlap(self.ipv6, other.ipv6)

    def __str__(self) -> str:
        return " ".join(map(str, self.networks))

    def __lt__(self, other: "Subnet") -> bool:
        return _order(self) < _order(other)


def _overlap(one: Network | None, other: Network | None) -> bool:
    """Of the same family. Not `one.overlaps(other)`, which caches 300 bytes in each network for ever."""
    if one is None or other is None:
        return False
    shift = one.max_prefixlen - min(one.prefixlen, other.prefixlen)
    return int(one.network_address) >> shift == int(other.network_address) >> shift


@dataclass(frozen=True, slots=True)
class Addresses:
    """A machine's public address in each family that it has."""

    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None

    def is_same_machine(self, other: "Addresses") -> bool:
        """Whether both belong to one machine: by IPv4 as in every flannel, or by IPv6 if one has no IPv4."""
        if self.ipv4 is not None and other.ipv4 is not None:
            return self.ipv4 == other.ipv4
        return self.ipv6 is not None and self.ipv6 == other.ipv6

    def __str__(self) -> str:
        return " ".join(str(address) for address in (self.ipv4, self.ipv6) if address is not None)


def _order(subnet: Subnet) -> tuple[tuple[int, int], tuple[int, int]]:
    return _place(subnet.ipv4), _place(subnet.ipv6)


def _place(network: Network | None) -> tuple[int, int]:
    return (-1, 0) if network is None else (int(network.network_address), network.prefixlen)


# What flannel writes where a lease has no IPv4: the zero value of its type for networks.
_NO_IPV4: Final = "0.0.0.0-0"


def key(subnet: Subnet) -> str:
    """The last part of a lease's key: `10.2.35.0-24`, with IPv6 `10.5.4.0-24&2001:cafe:42:16::-64`."""
    first = _NO_IPV4 if subnet.ipv4 is None else _part(subnet.ipv4)
    return first if subnet.ipv6 is None else f"{first}&{_part(subnet.ipv6)}"


def _part(network: Network) -> str:
    return f"{network.network_address}-{network.prefixlen}"


_KEY: Final = re.compile(
    r"(?P<ipv4>[0-9]{1,3}(?:\.[0-9]{1,3}){3})-(?P<length4>[0-9]{1,2})"
    r"(?:&(?P<ipv6>[0-9a-f:]+(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?)-(?P<length6>[0-9]{1,3}))?"
)


def parse_key(name: str) -> Subnet | None:
    """The subnet that the last part of a key means; None for what no flannel would write.

    An unaligned one (`10.1.5.7-24`, by v0.5.5 with an unaligned SubnetMin) counts as the subnet that it
    covers, so `key(parse_key(name))` may differ from `name`.
    """
    match = _KEY.fullmatch(name)
    if match is None:
        return None
    try:
        ipv6 = match["ipv6"] and IPv6Network((match["ipv6"], int(match["length6"])), strict=False)
        if f"{match['ipv4']}-{match['length4']}" == _NO_IPV4:
            return Subnet(None, ipv6) if ipv6 and ipv6.prefixlen else None
        ipv4 = IPv4Network((match["ipv4"], int(match["length4"])), strict=False)
    except ValueError:
        return None
    if ipv4.prefixlen == 0 or (ipv6 and ipv6.prefixlen == 0):
        return None
    return Subnet(ipv4, ipv6 or None)
