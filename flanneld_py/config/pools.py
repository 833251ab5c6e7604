"""The network of one address family, and the subnets that may be leased of it.

Where v0.5.5 and today's flannel disagree, the stricter rule holds, so that whatever is accepted here is
accepted by both: SubnetLen leaves room for four subnets, SubnetMin and SubnetMax are aligned. Where only
their default differs (SubnetLen in a /23 and smaller: v0.5.5 takes half the network or 24, today's a
quarter) it is today's, because etcd v3 is shared with today's flannel.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Generic

from flanneld_py.config.model import N, Pool
from flanneld_py.config.reader import Section, show

__all__ = ["IPV4", "IPV6", "Family", "pool"]


@dataclass(frozen=True, slots=True)
class Family(Generic[N]):
    """What differs between the families: flannel's keys, defaults and bounds.

    `usual` is the SubnetLen that is taken where the network is large enough, `longest` the longest allowed;
    `reserved` are networks that an overlay cannot have.
    """

    kind: type[N]
    prefix: str
    key: str
    example: str
    usual: int
    longest: int
    text: re.Pattern[str]
    reserved: Mapping[str, N]

    @property
    def address(self) -> type[IPv4Address] | type[IPv6Address]:
        """The family's type of addresses."""
        return IPv4Address if self.kind is IPv4Network else IPv6Address


IPV4: Final = Family(
    IPv4Network,
    "",
    "Network",
    "10.2.0.0/16",
    24,
    30,
    re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}"),
    {"loopback": IPv4Network("127.0.0.0/8"), "multicast": IPv4Network("224.0.0.0/4")},
)
IPV6: Final = Family(
    IPv6Network,
    "IPv6",
    "IPv6Network",
    "2001:cafe:42::/48",
    64,
    126,
    re.compile(r"[0-9A-Fa-f:.]{2,45}/[0-9]{1,3}"),
    {
        "loopback": IPv6Network("::1/128"),
        "multicast": IPv6Network("ff00::/8"),
        "link-local": IPv6Network("fe80::/10"),
        "IPv4-mapped": IPv6Network("::ffff:0:0/96"),
    },
)


def pool(section: Section, family: Family[N]) -> Pool[N] | None:
    """The family's pool; None, with the reasons among the section's problems, where there can be none."""
    network = _network(section, family)
    if network is None:
        return None
    length = _length(section, family, network)
    if length is None:
        return None
    size = 2 ** (network.max_prefixlen - length)
    first, last = int(network.network_address), int(network.broadcast_address)
    # The first subnet is left out: its first address, on the tunnel device, would be the network's own.
    lowest = _limit(section, family, "SubnetMin", network, length, first + size)
    highest = _limit(section, family, "SubnetMax", network, length, last + 1 - size)
    if lowest is None or highest is None:
        return None
    if int(lowest.network_address) > int(highest.network_address):
        section.problems.add(
            f"{family.prefix}SubnetMin",
            f"{lowest.network_address} is above {family.prefix}SubnetMax {highest.network_address}",
            "no subnet is left to lease: exchange them",
        )
        return None
    return Pool(network, lowest, highest)


def _network(section: Section, family: Family[N]) -> N | None:
    """The network, its host bits cleared as flannel does."""
    value = section.fields.get(family.key.lower())
    name = "IPv4" if family.kind is IPv4Network else "IPv6"
    fix = f'give an {name} network such as "{family.example}"'
    if isinstance(value, str) and family.kind is IPv4Network and ":" in value:
        fix += "; IPv6 is what IPv6Network is for"
    if value is None or value == "":
        section.problems.add(family.key, "is missing", fix)
        return None
    network = None
    if isinstance(value, str) and family.text.fullmatch(value):
        try:
            network = family.kind(value, strict=False)
        except ValueError:
            network = None
    if network is None:
        section.problems.add(family.key, f"is {show(value)}", fix)
        return None
    for meaning, reserved in family.reserved.items():
        if network.overlaps(reserved):
            section.problems.add(
                family.key, f"{network} contains {meaning} addresses", f"give one outside {reserved}"
            )
            return None
    smallest = family.longest - 2
    if network.prefixlen > smallest:
        section.problems.add(
            family.key,
            f"{network} is too small",
            f"the smallest network that can be shared out is a /{smallest}",
        )
        return None
    return network


def _length(section: Section, family: Family[N], network: N) -> int | None:
    key = f"{family.prefix}SubnetLen"
    value = section.fields.get(key.lower(), 0)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        section.problems.add(key, f"is {show(value)}", f"give a number such as {family.usual}")
        return None
    least = network.prefixlen + 2
    if value == 0:
        return max(family.usual, least)
    if value > family.longest:
        fix = f"it must be {family.longest} or less, so that a subnet holds a host"
        section.problems.add(key, f"is {show(value)}", fix)
        return None
    if value < least:
        section.problems.add(
            key,
            f"is {value}",
            f"{family.key} {network} must hold at least four subnets, so give {least} to {family.longest}",
        )
        return None
    return value


def _limit(section: Section, family: Family[N], name: str, network: N, length: int, default: int) -> N | None:
    """The first or last subnet; `default` is its first address."""
    key = f"{family.prefix}{name}"
    value = section.fields.get(key.lower())
    first = family.address(default)
    if value is None:
        return family.kind((default, length))
    try:
        address = family.address(value) if isinstance(value, str) and "%" not in value else None
    except ValueError:
        address = None
    if address is None:
        fix = f'give a subnet\'s first address, such as "{first}"'
        section.problems.add(key, f"is {show(value)}", fix)
        return None
    if address.is_unspecified:  # flannel's notion of "not given"
        return family.kind((default, length))
    if address not in network:
        text = f"{address} is not in the range of the {family.key} {network}"
        section.problems.add(key, text, f'give one inside, such as "{first}"')
        return None
    aligned = family.kind((int(address), length), strict=False)
    if int(aligned.network_address) != int(address):
        section.problems.add(
            key, f"{address} is not on a SubnetLen boundary", f"give {aligned.network_address}"
        )
        return None
    return aligned
