"""What is known of a packet where a packet filter sees it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

__all__ = ["Address", "Facts", "Spellings"]

Address = IPv4Address | IPv6Address
Spellings = frozenset[str | int]
"""One value, as a rule may write it: by its number or by its names."""

PROTOCOLS: Mapping[tuple[str, int], Spellings] = {
    ("icmp", 4): frozenset({"icmp", 1}),
    ("icmp", 6): frozenset({"icmpv6", "ipv6-icmp", 58}),
    ("tcp", 4): frozenset({"tcp", 6}),
    ("tcp", 6): frozenset({"tcp", 6}),
    ("udp", 4): frozenset({"udp", 17}),
    ("udp", 6): frozenset({"udp", 17}),
    ("ipip", 4): frozenset({"ipip", "ipencap", "ipv4", 4}),
    ("ipip", 6): frozenset({"ipv6", 41}),
}
"""By name and version of IP (IANA; names that nft takes from /etc/protocols are among them)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A packet at a hook. None: that is not known."""

    family: int
    """The version of IP."""
    into: str | None = None
    """The device that it came in by; empty for the machine's own packets."""
    out: str | None = None
    """The device that it goes out by; empty where that is not decided yet, or for what stays."""
    source: Address | None = None
    destination: Address | None = None
    protocol: Literal["icmp", "tcp", "udp", "ipip"] | None = None
    """Over IPv6, icmp is ICMPv6."""
    from_port: int | None = None
    port: int | None = None
    kind: Spellings | None = None
    """ICMP's type."""
    code: Spellings | None = None
    """ICMP's code."""
    state: str | None = None
    """Of its connection, as conntrack names it: new, established."""
    own: frozenset[Address] | None = None
    """The machine's addresses."""
    transport: bytes | None = None
    """UDP: from its header on, as far as it is known."""

    @property
    def protocols(self) -> Spellings | None:
        """The protocol, as rules write it."""
        if self.protocol is None:
            return None
        return PROTOCOLS[self.protocol, self.family]
