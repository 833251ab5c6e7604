"""What differs between the two address families."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, Generic

from flanneld_py.config.model import N

__all__ = ["IPV4", "IPV6", "Family"]


@dataclass(frozen=True, slots=True)
class Family(Generic[N]):
    """flannel's keys, defaults and bounds.

    `example` is a network and `first` its first subnet's address; `usual` is the SubnetLen that is taken
    where the network is large enough, `longest` the longest allowed; `reserved` are networks that an overlay
    cannot have.
    """

    kind: type[N]
    prefix: str
    key: str
    example: str
    first: str
    usual: int
    longest: int
    text: re.Pattern[str]
    reserved: Mapping[str, N]

    @property
    def address(self) -> type[IPv4Address] | type[IPv6Address]:
        """The family's type of addresses."""
        return IPv4Address if self.kind is IPv4Network else IPv6Address

    @property
    def wanted(self) -> str:
        """What the network may be, in words."""
        name = "IPv4" if self.kind is IPv4Network else "IPv6"
        return f'an {name} network such as "{self.example}"'


IPV4: Final = Family(
    IPv4Network,
    "",
    "Network",
    "10.2.0.0/16",
    "10.2.1.0",
    24,
    30,
    re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}/[0-9]{1,2}"),
    {
        "loopback": IPv4Network("127.0.0.0/8"),
        "multicast": IPv4Network("224.0.0.0/4"),
        "broadcast": IPv4Network("255.255.255.255/32"),
        "this host's": IPv4Network("0.0.0.0/8"),  # RFC 1122, 3.2.1.3
    },
)
IPV6: Final = Family(
    IPv6Network,
    "IPv6",
    "IPv6Network",
    "2001:cafe:42::/48",
    "2001:cafe:42:1::",
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
