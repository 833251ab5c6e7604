"""The external interface: which of the machine's interfaces carries the overlay, and by what address.

The order is today's flannel's (its main.go and pkg/ipmatch): every -iface in turn, every -iface-regex in
turn (all addresses before all names), -iface-can-reach, and only where none of these is given the interface
that holds the public address, or that of the default route.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Final, TypeAlias

from flanneld_py.options import re2
from flanneld_py.subnet import Address, Addresses

__all__ = [
    "ANY",
    "AssignedAddress",
    "Candidate",
    "Families",
    "Interface",
    "InterfaceSelection",
    "NextHop",
    "NoInterface",
    "Routes",
]
__all__ += ["choose", "describe", "public_addresses"]

IFF_UP, IFF_LOOPBACK = 0x1, 0x8  # linux/if.h
IFA_F_SECONDARY: Final = 0x01  # linux/if_addr.h; for IPv6 IFA_F_TEMPORARY: a privacy address, which changes
IFA_F_DADFAILED: Final = 0x08
IFA_F_DEPRECATED: Final = 0x20
IFA_F_TENTATIVE: Final = 0x40
IFA_F_PERMANENT: Final = 0x80


@dataclass(frozen=True, slots=True)
class AssignedAddress:
    """An address of an interface: IFA_LOCAL (or IFA_ADDRESS) with its prefix length, and IFA_FLAGS."""

    address: IPv4Interface | IPv6Interface
    flags: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An interface as the kernel lists it: `mtu` in bytes, `flags` IFF_*, addresses in the kernel's order.

    `sources` are those of its addresses that its routes have as source, the best first.
    """

    name: str
    index: int
    mtu: int
    flags: int = IFF_UP
    addresses: tuple[AssignedAddress, ...] = ()
    sources: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class NextHop:
    """How packets leave: the interface's index, the source address that the route prefers, and the router.

    Without `gateway` the destination is on the interface's own link.
    """

    index: int
    source: Address | None = None
    gateway: Address | None = None


@dataclass(frozen=True, slots=True)
class Routes:
    """The best default route of each family, and the way to the address of -iface-can-reach.

    `no_reach` is the kernel's reason why there is none, such as "Network is unreachable".
    """

    default_ipv4: NextHop | None = None
    default_ipv6: NextHop | None = None
    reach: NextHop | None = None
    no_reach: str = ""


@dataclass(frozen=True, slots=True)
class Families:
    """The address families that the interface must have; neither: whichever it has."""

    ipv4: bool = False
    ipv6: bool = False


ANY: Final = Families()


@dataclass(frozen=True, slots=True)
class InterfaceSelection:
    """What the user asked for; `patterns` are regular expressions that compile."""

    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    can_reach: Address | None = None
    public: Addresses = field(default_factory=Addresses)


@dataclass(frozen=True, slots=True)
class Interface:
    """The external interface: the addresses chosen, and all of them, to know what is on its link.

    `mtu` is in bytes.
    """

    name: str
    index: int
    mtu: int
    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    ipv4_networks: tuple[IPv4Interface, ...] = ()
    ipv6_networks: tuple[IPv6Interface, ...] = ()


class NoInterface(Exception):
    """None fits (yet). The message says why each criterion failed, which interfaces exist, and what to do."""


Found: TypeAlias = tuple[Candidate, Address | None]
"""An interface, and which of its addresses was asked for."""


def choose(
    candidates: Sequence[Candidate], selection: InterfaceSelection, routes: Routes, needs: Families = ANY
) -> Interface:
    """The first interface that a criterion finds and that fits. Raises `NoInterface`."""
    reasons = []
    for request, find in _searches(candidates, selection, routes, needs):
        found = find()
        if isinstance(found, str):
            reasons.append(f"{request}: {found}")
        elif unfit := _unfit(*found, selection.public, needs):
            reasons.append(f"{request}: {found[0].name} {unfit}")
        else:
            return _interface(*found, _ours(candidates, selection.public))
    raise NoInterface(
        f"Failed to find an interface to use: {'; '.join(reasons)}. There is: {describe(candidates)}. "
        "Name one that fits with -iface"
    )


def public_addresses(interface: Interface, selection: InterfaceSelection) -> Addresses:
    """Where peers reach us: -public-ip and -public-ipv6, else the interface's own addresses."""
    return Addresses(selection.public.ipv4 or interface.ipv4, selection.public.ipv6 or interface.ipv6)


def describe(candidates: Sequence[Candidate]) -> str:
    """All interfaces in one line, each with its addresses or what it lacks."""
    return ", ".join(_describe(candidate) for candidate in candidates) or "none"


def _describe(candidate: Candidate) -> str:
    details = [str(held.address.ip) for held in candidate.addresses] or ["no address"]
    if not candidate.flags & IFF_UP:
        details.append("down")
    return f"{candidate.name} ({', '.join(details)})"


# Finding

Search: TypeAlias = tuple[str, Callable[[], Found | str]]
"""A criterion in words, and what finds its interface or says why there is none."""


def _searches(
    candidates: Sequence[Candidate], selection: InterfaceSelection, routes: Routes, needs: Families
) -> Iterator[Search]:
    for name in selection.names:
        yield f"-iface={name}", partial(_named, candidates, name)
    for pattern in selection.patterns:
        yield f"-iface-regex={pattern}", partial(_matching, candidates, pattern)
    if selection.can_reach is not None:
        why = routes.no_reach or "there is no route to it"
        yield f"-iface-can-reach={selection.can_reach}", partial(_by_way, candidates, routes.reach, why)
    if selection.names or selection.patterns or selection.can_reach is not None:
        return
    for address in (selection.public.ipv4, selection.public.ipv6):
        # Where no interface has it (NAT), today's flannel fails and v0.5.5 takes the default route's. As does
        # this if the loopback interface has it: such an address is announced by a routing protocol.
        outer = [candidate for candidate in candidates if not candidate.flags & IFF_LOOPBACK]
        if address is not None and isinstance(_with_address(outer, address), tuple):
            yield f"the interface of {address}", partial(_with_address, outer, address)
    if needs.ipv4 or not needs.ipv6:
        yield "default interface", partial(_by_default, candidates, routes.default_ipv4, "")
    if needs.ipv6 or not needs.ipv4:
        yield "default v6 interface", partial(_by_default, candidates, routes.default_ipv6, "v6 ")


def _named(candidates: Sequence[Candidate], name: str) -> Found | str:
    try:
        address = ip_address(name)
    except ValueError:
        by_name = next((candidate for candidate in candidates if candidate.name == name), None)
        return "there is no interface of this name" if by_name is None else (by_name, None)
    return _with_address(candidates, address)


def _with_address(candidates: Sequence[Candidate], address: Address) -> Found | str:
    for candidate in candidates:
        if any(held.address.ip == address for held in candidate.addresses):
            return candidate, address
    return "no interface has this address"


def _matching(candidates: Sequence[Candidate], pattern: str) -> Found | str:
    regex = re2.compiled(pattern)
    for candidate in candidates:
        for address in usable_addresses(candidate):
            if regex.search(str(address)):
                return candidate, address
    by_name = next((candidate for candidate in candidates if regex.search(candidate.name)), None)
    return "it matches no address and no name" if by_name is None else (by_name, None)


def _by_way(candidates: Sequence[Candidate], way: NextHop | None, why: str) -> Found | str:
    if way is None:
        return why
    found = next((candidate for candidate in candidates if candidate.index == way.index), None)
    return "its route leaves by no interface of this machine" if found is None else (found, way.source)


def _by_default(candidates: Sequence[Candidate], way: NextHop | None, family: str) -> Found | str:
    found = _by_way(candidates, way, f"Unable to find default {family}route")
    return found if isinstance(found, str) else (found[0], None)


# Fitting


def _unfit(candidate: Candidate, wanted: Address | None, public: Addresses, needs: Families) -> str:
    """What an interface lacks to be the external one; "" if nothing."""
    usable = usable_addresses(candidate)
    for named in (wanted, public.ipv4, public.ipv6):
        # A route may prefer the address of another interface, which does not concern us.
        if named not in usable and any(held.address.ip == named for held in candidate.addresses):
            return f"cannot use {named} (yet)"
    if not candidate.flags & IFF_UP:
        return "is down"
    if candidate.mtu <= 0:
        return "has no MTU"
    if needs.ipv4 and not any(address.version == 4 for address in usable):
        return "has no IPv4 address"
    if needs.ipv6 and not any(address.version == 6 for address in usable):
        return "has no IPv6 address"
    # Every interface gets a link-local IPv6 address at once: others may still follow.
    if not any(address.version == 4 or not address.is_link_local for address in usable):
        return "has no address that other machines can reach"
    return ""


def usable_addresses(candidate: Candidate) -> tuple[Address, ...]:
    """Addresses that others could reach, the best first.

    Link-local, deprecated and secondary ones come last. Of the others the kernel's source address on the
    interface's link comes first, and one without a network last: a virtual address, as keepalived adds it,
    may be another machine's tomorrow.
    """

    def rank(held: AssignedAddress) -> tuple[bool, int, int, int, bool]:
        address = held.address.ip
        place = candidate.sources.index(address) if address in candidate.sources else len(candidate.sources)
        last = held.flags & IFA_F_DEPRECATED, held.flags & IFA_F_SECONDARY
        return address.is_link_local, *last, place, _stands_alone(held)

    good = [
        held
        for held in candidate.addresses
        if not held.flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)
        and not held.address.ip.is_loopback
        and not held.address.ip.is_multicast
        and not held.address.ip.is_unspecified
    ]
    return tuple(held.address.ip for held in sorted(good, key=rank))


def _stands_alone(held: AssignedAddress) -> bool:
    """Whether it has no network. In IPv6 those from DHCPv6 have none either, but they expire."""
    alone = held.address.network.prefixlen == held.address.max_prefixlen
    return alone and (held.address.version == 4 or bool(held.flags & IFA_F_PERMANENT))


def _ours(candidates: Sequence[Candidate], public: Addresses) -> tuple[Address, ...]:
    """The public addresses that an interface of this machine has; behind NAT another machine has them."""
    held = {address for candidate in candidates for address in usable_addresses(candidate)}
    return tuple(address for address in (public.ipv4, public.ipv6) if address is not None and address in held)


def _interface(candidate: Candidate, wanted: Address | None, ours: tuple[Address, ...]) -> Interface:
    """`ours`: what peers send to is what we listen on and send from, if this machine has it."""
    usable = (*ours, *([] if wanted is None else [wanted]), *usable_addresses(candidate))
    everything = tuple(held.address for held in candidate.addresses)
    return Interface(
        candidate.name,
        candidate.index,
        candidate.mtu,
        next((address for address in usable if isinstance(address, IPv4Address)), None),
        next((address for address in usable if isinstance(address, IPv6Address)), None),
        tuple(address for address in everything if isinstance(address, IPv4Interface)),
        tuple(address for address in everything if isinstance(address, IPv6Interface)),
    )
