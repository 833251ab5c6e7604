"""The value of what a rule asks, of a packet of which not everything may be known. Pure."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Literal

from lab.packet_filter.facts import Address, Facts, Spellings

__all__ = ["ABSENT", "Known", "kind_of_address", "value_of"]


class _Absent(Enum):
    """A field that a packet does not have: the kernel then goes to the next rule (NFT_BREAK)."""

    ABSENT = 0


ABSENT: Final = _Absent.ABSENT

Known = str | int | Address | Spellings | tuple[Any, ...] | None
"""None: nobody knows. A tuple is of a concatenation."""

META: Mapping[str, Callable[[Facts], Known]] = {
    "iifname": lambda facts: facts.into,
    "iif": lambda facts: facts.into,
    "oifname": lambda facts: facts.out,
    "oif": lambda facts: facts.out,
    "l4proto": lambda facts: facts.protocols,
    "nfproto": lambda facts: "ipv4" if facts.family == 4 else "ipv6",
    "protocol": lambda facts: "ip" if facts.family == 4 else "ip6",
}

OF_IP: Mapping[str, Callable[[Facts], Known]] = {
    "saddr": lambda facts: facts.source,
    "daddr": lambda facts: facts.destination,
    "protocol": lambda facts: facts.protocols,
    "nexthdr": lambda facts: facts.protocols,
}

OF_TRANSPORT: Mapping[str, Callable[[Facts], Known]] = {
    "sport": lambda facts: facts.from_port,
    "dport": lambda facts: facts.port,
    "type": lambda facts: facts.kind,
    "code": lambda facts: facts.code,
}

TRANSPORTS = {
    "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah", "comp", "gre",
}  # fmt: skip


def value_of(asked: Any, facts: Facts) -> Known | Literal[_Absent.ABSENT]:
    """The packet's value of the left side of a match."""
    match asked:
        case {"concat": list(parts)}:
            values = [value_of(part, facts) for part in parts]
            return ABSENT if ABSENT in values else tuple(values)
        case {"meta": {"key": str(key)}} if key in META:
            return META[key](facts)
        case {"payload": {"base": "th", "offset": int(offset), "len": int(length)}}:
            return _bits(facts, offset, length)
        case {"payload": {"tunnel": _}}:
            return None  # of what the packet carries
        case {"payload": {"protocol": str(protocol), "field": str(name)}}:
            return _field(facts, protocol, name)
        case {"ct": {"key": "state"}}:
            return facts.state
        case {"fib": {"result": "type", "flags": flags}}:
            kind = kind_of_address(facts, facts.source if "saddr" in flags else facts.destination)
            return None if kind == "local" and ("iif" in flags or "oif" in flags) else kind
    return None


def _field(facts: Facts, protocol: str, name: str) -> Known | Literal[_Absent.ABSENT]:
    """Of a header that rules name."""
    if protocol in {"ip", "ip6"}:
        if protocol != ("ip" if facts.family == 4 else "ip6"):
            return ABSENT
        return OF_IP[name](facts) if name in OF_IP else None
    if protocol in TRANSPORTS:
        if facts.protocols is None:
            return None
        if protocol not in facts.protocols:
            return ABSENT
    elif protocol != "th":
        return None
    return OF_TRANSPORT[name](facts) if name in OF_TRANSPORT else None


def _bits(facts: Facts, offset: int, length: int) -> int | None:
    """Of the transport's header and what follows it, by their number."""
    if facts.transport is None or offset + length > len(facts.transport) * 8:
        return None
    whole = int.from_bytes(facts.transport)
    return whole >> (len(facts.transport) * 8 - offset - length) & ((1 << length) - 1)


def kind_of_address(facts: Facts, address: Address | None) -> str | None:
    """As the kernel's routes have it: local, multicast, unicast."""
    if address is None:
        return None
    if address.is_multicast:
        return "multicast"
    if facts.own is None:
        return None
    return "local" if address in facts.own else "unicast"
