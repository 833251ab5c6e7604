"""Whether a value is, or is in, the right side of a match. Pure."""

import operator
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from lab.packet_filter.three import Answer, all_of, any_of, opposite
from lab.packet_filter.values import Known

__all__ = ["compared", "is_in"]

ORDERS: Mapping[str, Callable[[int, int], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compared(known: Known, op: str, right: Any) -> Answer:
    """A match: `==`, `in`, `!=`, or one of order."""
    if op in ORDERS:
        both = isinstance(known, int) and isinstance(right, int)
        return ORDERS[op](known, right) if both else None  # type: ignore[arg-type]
    found = is_in(known, right)
    return opposite(found) if op == "!=" else found


def is_in(known: Known, right: Any) -> Answer:
    """None if that cannot be read here, or is not known."""
    match right:
        case {"set": members}:
            return is_in(known, members)
        case list(members):
            return any_of([is_in(known, member) for member in members])
        case {"elem": {"val": member}}:
            return is_in(known, member)
        case {"concat": list(parts)}:
            if not isinstance(known, tuple) or len(known) != len(parts):
                return None
            return all_of([is_in(one, part) for one, part in zip(known, parts, strict=True)])
        case bool():
            return None
    if isinstance(known, frozenset):
        # Of a value's spellings, those of the right side's kind decide.
        answers = {_is(spelling, right) for spelling in known}
        return next((answer for answer in (True, False) if answer in answers), None)
    return None if known is None or isinstance(known, tuple) else _is(known, right)


def _is(known: str | int | IPv4Address | IPv6Address, right: Any) -> Answer:
    """One value, and a single one or a range."""
    match right:
        case {"prefix": {"addr": address, "len": length}}:
            return _within(known, f"{address}/{length}")
        case {"range": [first, last]}:
            return _between(known, first, last)
        case str() if isinstance(known, IPv4Address | IPv6Address):
            return _within(known, right)
        case str() if right.startswith("@"):
            return None
        case str() if isinstance(known, str):
            return known.startswith(right[:-1]) if right.endswith("*") else known == right
        case int() if isinstance(known, int):
            return known == right
    return None


def _within(known: object, network: str) -> Answer:
    if not isinstance(known, IPv4Address | IPv6Address):
        return None
    try:
        return known in ip_network(network, strict=False)
    except ValueError:
        return None


def _between(known: object, first: Any, last: Any) -> Answer:
    if isinstance(known, int):
        return first <= known <= last if isinstance(first, int) and isinstance(last, int) else None
    if not isinstance(known, IPv4Address | IPv6Address):
        return None
    try:
        ends = ip_address(first), ip_address(last)
    except ValueError:
        return None
    return all(it.version == known.version for it in ends) and int(ends[0]) <= int(known) <= int(ends[1])
