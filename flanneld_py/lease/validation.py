"""Whether a lease may be a peer's, judged by itself: the same rules for every backend. Pure.

A lease directs packets to its public address and makes us trust its holder's packets, so whoever can write
below the prefix could otherwise take over addresses outside the overlay, or somebody else's. How leases
relate to each other is the subject of `admission`.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from flanneld_py.config.model import NetworkConfig
from flanneld_py.lease.model import StoredLease
from flanneld_py.subnet import Address, Addresses, Network, Subnet

__all__ = ["LeaseRefusal", "LeaseRules", "ProtectedAddresses", "RefusalReason", "covered", "ends", "too_wide"]


class RefusalReason(Enum):
    """What is wrong with a lease, in a few words."""

    OUTSIDE = "outside the network"
    LENGTH = "not of the network's length"
    OURS = "overlaps our subnet"
    ANOTHERS = "overlaps another's subnet"
    ADDRESS = "unusable public address"
    SHARED = "public address of another"
    COVERS = "covers an address that is needed"


@dataclass(frozen=True, slots=True)
class LeaseRefusal:
    """The fault, and a clause that describes it: "it is not inside the network 10.2.0.0/16"."""

    fault: RefusalReason
    reason: str


@dataclass(frozen=True, slots=True)
class ProtectedAddresses:
    """Addresses that this machine has, and those that it needs to be on the network.

    `own` maps each to its device's name; `broadcasts` are those of its own networks. `registries` are
    where etcd (or -remote) answers, `gateways` the next hops of its default routes.
    """

    own: Mapping[Address, str] = field(default_factory=dict)
    broadcasts: frozenset[Address] = frozenset()
    registries: frozenset[Address] = frozenset()
    gateways: frozenset[Address] = frozenset()

    def named(self) -> Iterator[tuple[Address, str]]:
        """All addresses that no lease may cover, with what they are."""
        yield from (
            (address, f"this machine's own address, of {device}") for address, device in self.own.items()
        )
        yield from ((address, "the default gateway") for address in self.gateways)
        yield from ((address, "the registry's address") for address in self.registries)


@dataclass(frozen=True, slots=True)
class LeaseRules:
    """What leases are judged by: the network, our own subnet and public addresses, and `needs`."""

    network: NetworkConfig
    own: Subnet = field(default_factory=Subnet)
    public: Addresses = field(default_factory=Addresses)
    needs: ProtectedAddresses = field(default_factory=ProtectedAddresses)
    _needed: dict[int, tuple[list[int], list[str]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[int, tuple[list[int], list[str]]] = {4: ([], []), 6: ([], [])}
        mine = [
            (address, "our public address")
            for address in (self.public.ipv4, self.public.ipv6)
            if address is not None
        ]
        named = dict([*mine, *self.needs.named()])
        for address, what in sorted(named.items(), key=lambda item: (item[0].version, int(item[0]))):
            if any(_holds(whole, address) for whole in self.network.overlay.networks):
                numbers, words = found[address.version]
                numbers.append(int(address))
                words.append(f"{address}, {what}")
        object.__setattr__(self, "_needed", found)

    def unfit(self, held: StoredLease) -> LeaseRefusal | None:
        """Why this lease cannot be a peer's, whatever other leases there are; None if it can."""
        subnet, public = held.lease.subnet, held.lease.attrs.public
        mine = self.network.overlay
        families: tuple[tuple[Network | None, Network | None, Address | None, int], ...] = (
            (mine.ipv4, subnet.ipv4, public.ipv4, 0 if self.network.ipv4 is None else _length(self, 4)),
            (mine.ipv6, subnet.ipv6, public.ipv6, 0 if self.network.ipv6 is None else _length(self, 6)),
        )
        some = False
        for whole, network, address, length in families:
            if whole is None:
                continue
            if network is not None:
                some = True
                if refusal := self._misplaced(network, whole, length, held.permanent):
                    return refusal
            if address is not None and (refusal := self._unreachable(address, subnet)):
                return refusal
        if not some:
            return LeaseRefusal(RefusalReason.OUTSIDE, f"it has no subnet of the network {mine}")
        if subnet.overlaps(self.own):
            return LeaseRefusal(RefusalReason.OURS, f"it overlaps ours, {self.own}")
        return self._covering(subnet)

    def _misplaced(
        self, network: Network, whole: Network, length: int, permanent: bool
    ) -> LeaseRefusal | None:
        first, last = ends(network)
        begin, end = ends(whole)
        if not begin <= first <= last <= end:
            return LeaseRefusal(RefusalReason.OUTSIDE, f"it is not inside the network {whole}")
        # A reservation may have several subnets for one machine, but never all of them.
        if network.prefixlen == length or (permanent and whole.prefixlen < network.prefixlen < length):
            return None
        kind = "reservations are of whole subnets, and" if permanent else ""
        words = f"{kind} the network's subnets are /{length}".strip()
        return LeaseRefusal(RefusalReason.LENGTH, f"it is a /{network.prefixlen}, and {words}")

    def _unreachable(self, address: Address, subnet: Subnet) -> LeaseRefusal | None:
        """Why packets must not be sent to a public address."""
        what = _no_machines(address)
        if not what and address in self.needs.broadcasts:
            what = "the broadcast address of a network of this machine"
        if not what and address in self.needs.own:
            what = f"this machine's own, of {self.needs.own[address]}"
        if what:
            return LeaseRefusal(RefusalReason.ADDRESS, f"its public address {address} is {what}")
        if any(_holds(network, address) for network in subnet.networks):
            return LeaseRefusal(RefusalReason.ADDRESS, f"its public address {address} is inside it")
        return None

    def _covering(self, subnet: Subnet) -> LeaseRefusal | None:
        for network in subnet.networks:
            numbers, words = self._needed[network.version]
            if numbers and (place := covered(numbers, network)) is not None:
                return LeaseRefusal(RefusalReason.COVERS, f"it covers {words[place]}")
        return None


def _length(rules: LeaseRules, version: int) -> int:
    pool = rules.network.ipv4 if version == 4 else rules.network.ipv6
    return 0 if pool is None else pool.subnet_len


def ends(network: Network) -> tuple[int, int]:
    """First and last address. Not by `broadcast_address`, which is cached in each network for ever."""
    first = int(network.network_address)
    return first, first | (1 << (network.max_prefixlen - network.prefixlen)) - 1


def covered(numbers: list[int], network: Network) -> int | None:
    """The index of the first of these ascending numbers that is an address of the network."""
    first, last = ends(network)
    place = bisect_left(numbers, first)
    return place if place < len(numbers) and numbers[place] <= last else None


def _holds(network: Network, address: Address) -> bool:
    if network.version != address.version:
        return False
    first, last = ends(network)
    return first <= int(address) <= last


# RFC 1122 3.2.1.3, RFC 1112, RFC 919; RFC 4291 2.5 and 2.7. As numbers, because lists of leases are long.
_NO_MACHINES: Final[dict[int, tuple[tuple[int, int, str], ...]]] = {
    4: (
        (0, 0, "the unspecified address"),
        (0x7F000000, 0x7FFFFFFF, "a loopback address"),
        (0xE0000000, 0xEFFFFFFF, "a multicast address"),
        (0xFFFFFFFF, 0xFFFFFFFF, "the broadcast address"),
    ),
    6: (
        (0, 0, "the unspecified address"),
        (1, 1, "the loopback address"),
        (0xFF << 120, (1 << 128) - 1, "a multicast address"),
    ),
}


def _no_machines(address: Address) -> str:
    number = int(address)
    return next((what for first, last, what in _NO_MACHINES[address.version] if first <= number <= last), "")


def too_wide(rules: LeaseRules, kept: bool) -> str:
    """A warning if the network covers addresses that this machine needs; "" if it does not.

    `kept`: the backend has one route for the whole network, and keeps those addresses out of it.
    """
    needs, public = rules.needs, rules.public
    named = {address: "this machine's public address" for address in (public.ipv4, public.ipv6) if address}
    named |= dict.fromkeys(needs.gateways, "the default gateway")
    named |= dict.fromkeys(needs.registries, "the registry's address")
    whole = rules.network.overlay
    inside = [
        f"{address} ({what})"
        for address, what in named.items()
        if any(_holds(network, address) for network in whole.networks)
    ]
    if not inside:
        return ""
    what = "They keep routes of their own" if kept else "No lease that covers one of them is taken"
    return (
        f"The network {whole} covers what this machine needs to be on the network: {', '.join(inside)}. "
        f"{what}; choose a Network that is used for nothing else"
    )
