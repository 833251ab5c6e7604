"""Which interface of its node a flanneld takes, by its options, and whether there is such a one. Pure.

As flannel has it (main.go, and LookupExtIface in pkg/ipmatch/match.go): `-iface` values in their order, then
`-iface-regex`, then `-iface-can-reach`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.spec.model import LabSpec
from lab.spec.node import NodeSpec
from lab.spec.segment import interfaces, routes

__all__ = ["Announced", "announced", "no_interface"]

IFACE, REGEX, REACH = "iface", "iface-regex", "iface-can-reach"
PUBLIC = "public-ip"


@dataclass(frozen=True, slots=True)
class Announced:
    """The interface that a node's flanneld takes, and the address that its lease names."""

    index: int
    """1 for eth1."""
    address: IPv4Address

    @property
    def device(self) -> str:
        """Its name."""
        return f"eth{self.index}"


def announced(spec: LabSpec, node: NodeSpec, networks: Mapping[str, IPv4Network]) -> Announced:
    """What a node's flanneld takes; eth0 where it takes none, or where there is no flanneld."""
    own = interfaces(node, networks)
    options = [*spec.flanneld_options, *node.flanneld.options] if node.runs("flanneld") else []
    given = _values(options)
    index = next(_found(given, spec, node, networks), 0)
    public = [_address(value) for value in given.get(PUBLIC, ())]
    return Announced(index, next((address for address in public if address), own[index].ip))


def _found(
    given: Mapping[str, Sequence[str]], spec: LabSpec, node: NodeSpec, networks: Mapping[str, IPv4Network]
) -> Iterator[int]:
    """Every interface that one of the options names, as flannel seeks them."""
    own = interfaces(node, networks)
    names, addresses = [f"eth{index}" for index in range(len(own))], [str(each.ip) for each in own]
    for value in given.get(IFACE, ()):
        yield from (index for index, pair in enumerate(zip(names, addresses, strict=True)) if value in pair)
    for pattern in given.get(REGEX, ()):
        # Addresses first, of all interfaces; then names.
        for words in (addresses, names):
            yield from (index for index, word in enumerate(words) if _matches(pattern, word))
    for value in given.get(REACH, ()):
        target = _address(value)
        if target is not None:
            via = [route.via for route in routes(node, spec.nodes, networks) if target in route.to]
            yield from (index for index, each in enumerate(own) if target in each.network)
            yield from (index for index, each in enumerate(own) for hop in via if hop in each.network)


def _values(options: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What the options give, by their names without dashes, in their order."""
    found: dict[str, list[str]] = {}
    for place, option in enumerate(options):
        name, equals, value = option.lstrip("-").partition("=")
        if not option.startswith("-"):
            continue
        if not equals and place + 1 < len(options):
            value = options[place + 1]  # of a flag that is none, it is never asked for
        found.setdefault(name, []).append(value)
    return found


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # in Go's syntax alone
        return False


def no_interface(options: Sequence[str], addresses: Sequence[IPv4Address | None]) -> str:
    """Return a problem if none of the options' `-iface` values can be found; else "".

    `addresses` are those of the node's eth0, eth1 and so on, as far as they are known. flannel uses the first
    one that it finds.
    """
    given = _values(options)
    asked = [value for value in given.get(IFACE, ()) if value]
    if not asked or given.keys() & {REGEX, REACH}:
        return ""
    if any(_may_be(value, addresses) for value in asked):
        return ""
    here = [
        f"eth{index}" if address is None else f"eth{index} ({address})"
        for index, address in enumerate(addresses)
    ]
    return f"-iface={asked[0]}: no such interface; the node has {' and '.join(here)}"


def _may_be(value: str, addresses: Sequence[IPv4Address | None]) -> bool:
    wanted = _address(value)
    if wanted is None:
        return value in {"lo", *(f"eth{index}" for index in range(len(addresses)))}
    return None in addresses or wanted in addresses
