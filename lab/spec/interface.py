"""Which interface of its node a flanneld takes, by its options, and whether there is such a one. Pure.

As flannel has it (main.go, and LookupExtIface in pkg/ipmatch/match.go): `-iface` values in their order, then
`-iface-regex`, then `-iface-can-reach`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from lab.spec.model import LabSpec
from lab.spec.nat import nat_of
from lab.spec.node import NodeSpec
from lab.spec.segment import FAMILIES, Family, Interface, Route, Subnets, interfaces, routes

__all__ = ["Announced", "announced", "device_towards", "is_led", "no_interface"]

IFACE, REGEX, REACH = "iface", "iface-regex", "iface-can-reach"
PUBLIC: Mapping[Family, str] = {4: "public-ip", 6: "public-ipv6"}


@dataclass(frozen=True, slots=True)
class Announced:
    """The interface that a node's flanneld takes, and the addresses that its lease names."""

    index: int
    """1 for eth1."""
    addresses: Mapping[Family, IPv4Address | IPv6Address]
    """Of each family that the interface has; of both, an overlay of one names one."""

    @property
    def device(self) -> str:
        """Its name."""
        return f"eth{self.index}"

    def address(self, families: Sequence[Family]) -> IPv4Address | IPv6Address:
        """The one of an overlay of these families that the node is known by there: the first family's."""
        return self.addresses.get(families[0]) or next(iter(self.addresses.values()))

    @property
    def address6(self) -> IPv6Address | None:
        """The one of IPv6, if it has one."""
        found = self.addresses.get(6)
        return found if isinstance(found, IPv6Address) else None


def announced(spec: LabSpec, node: NodeSpec, networks: Mapping[str, Subnets]) -> Announced:
    """What a node's flanneld takes; eth0 where it takes none, or where there is no flanneld."""
    own = interfaces(node, networks)
    options = [*spec.flanneld_options, *node.flanneld.options] if node.runs("flanneld") else []
    given = _values(options)
    fit = [all(each.of(family) for family in spec.families) for each in own]
    index = next((index for index in _found(given, spec, node, networks) if fit[index]), 0)
    found: dict[Family, IPv4Address | IPv6Address] = {each.version: each.ip for each in own[index].every}
    if (router := nat_of(spec.nodes, node)) is not None:
        place = router.outside[0]
        found |= {each.version: each.ip for each in networks[place.segment].address(place.host).every}
    for family in FAMILIES:
        public = [_address(value) for value in given.get(PUBLIC[family], ())]
        found |= {address.version: address for address in public[:1] if address is not None}
    return Announced(index, found)


def device_towards(here: NodeSpec, there: NodeSpec, taken: Announced, networks: Mapping[str, Subnets]) -> str:
    """The interface that leads without a router to what another node has `taken`; empty if none does."""
    segment = there.attachments[taken.index].segment
    if not networks[segment].is_direct(here, there):
        return ""
    indices = (index for index, place in enumerate(here.attachments) if place.segment == segment)
    return next((f"eth{index}" for index in indices), "")


def is_led(spec: LabSpec, one: NodeSpec, other: NodeSpec, networks: Mapping[str, Subnets]) -> bool:
    """Whether the overlay leads from the containers of one node to those of another, and back."""
    if not spec.backend.on_link or not (one.runs("flanneld") and other.runs("flanneld")):
        return True
    return one.name == other.name or all(
        device_towards(here, there, announced(spec, there, networks), networks)
        for here, there in ((one, other), (other, one))
    )


def _found(
    given: Mapping[str, Sequence[str]], spec: LabSpec, node: NodeSpec, networks: Mapping[str, Subnets]
) -> Iterator[int]:
    """Every interface that one of the options names, as flannel seeks them."""
    own = interfaces(node, networks)
    names = [f"eth{index}" for index in range(len(own))]
    addresses = [[str(address.ip) for address in each.every] for each in own]
    for value in given.get(IFACE, ()):
        called = [[name, *has] for name, has in zip(names, addresses, strict=True)]
        yield from (index for index, words in enumerate(called) if value in words)
    for pattern in given.get(REGEX, ()):
        # Addresses first, of all interfaces; then names.
        for every in (addresses, [[name] for name in names]):
            yield from (index for index, words in enumerate(every) if _matches(pattern, words))
    for value in given.get(REACH, ()):
        target = _address(value)
        if target is not None:
            yield from _towards(target, node, routes(node, spec.nodes, networks), networks)


def _towards(
    target: IPv4Address | IPv6Address,
    node: NodeSpec,
    ways: Sequence[Route],
    networks: Mapping[str, Subnets],
) -> Iterator[int]:
    """The interfaces that packets to an address leave by: on its segment, or on that of a router."""
    via = [way.via for way in ways if target in way.to and not isinstance(way.via, str)]
    for wanted in (target, *via):
        for index, place in enumerate(node.attachments):
            if wanted in networks[place.segment]:
                yield index


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


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _matches(pattern: str, words: Sequence[str]) -> bool:
    try:
        return any(re.search(pattern, word) for word in words)
    except re.error:  # in Go's syntax alone
        return False


def no_interface(options: Sequence[str], addresses: Sequence[Interface | None]) -> str:
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
        f"eth{index}" + (f" ({', '.join(str(item.ip) for item in each.every)})" if each is not None else "")
        for index, each in enumerate(addresses)
    ]
    return f"-iface={asked[0]}: no such interface; the node has {' and '.join(here)}"


def _may_be(value: str, addresses: Sequence[Interface | None]) -> bool:
    wanted = _address(value)
    if wanted is None:
        return value in {"lo", *(f"eth{index}" for index in range(len(addresses)))}
    return any(each is None or wanted == each.of(wanted.version) for each in addresses)
