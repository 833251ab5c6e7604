"""Addresses that one route for the whole network would take along, though they are not of the overlay.

Where the network covers its registry, say, behind a router, this machine would send its packets for it into
the tunnel, and be off the network for good. They get a route of their own by the external interface.
"""

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

from flanneld_py.kernel import table as kernel_table
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.entries import PROTOCOL, Add, Change, Remove, Route
from flanneld_py.kernel.local_addresses import ELSEWHERE
from flanneld_py.kernel.lookup import lookup
from flanneld_py.lease.model import Lease, PeerAdded, PeerEvent
from flanneld_py.subnet import Address, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["ProtectedRoutes"]

logger = logging.getLogger(__name__)

NAMED: Final = 3
"""Addresses that a message names; the rest it counts."""


@dataclass(frozen=True, slots=True)
class _Own:
    """A route of ours; `default`: its gateway is that of the default route, and changes with it."""

    route: Route
    default: bool


class ProtectedRoutes:
    """The routes of addresses inside `network`; none for what a route of its own leads to already."""

    def __init__(self, network: IPv4Network, interface: Interface) -> None:
        self._network = network
        self._under = interface.index
        self._always: frozenset[Address] = frozenset()
        self._peers: dict[Subnet, Address] = {}  # those that are inside
        self._routes: dict[Address, _Own | None] = {}

    def begin(self, always: Iterable[Address], peers: Iterable[Lease] = ()) -> None:
        """For what is needed whoever the peers are, for these peers, and for nothing else."""
        self._always = frozenset(always)
        self._peers = {lease.subnet: address for lease in peers if (address := self._inside(lease))}
        wanted = {*(address for address in self._always if address in self._network), *self._peers.values()}
        self._change(wanted, self._routes.keys() - wanted)

    def follow_to(self, interface: Interface) -> None:
        """The external interface is this from now on; with another one its routes have gone."""
        if interface.index != self._under:
            self._under = interface.index
            self._routes = {}

    def follow(self, events: Iterable[PeerEvent]) -> None:
        """Peers come and go."""
        more: set[Address] = set()
        less: set[Address] = set()
        for event in events:
            address = self._inside(event.lease) if isinstance(event, PeerAdded) else None
            if (before := self._peers.pop(event.lease.subnet, None)) is not None:
                less.add(before)
            if address is not None:
                self._peers[event.lease.subnet] = address
                more.add(address)
        if less or more:
            self._change(more, less - more - self._always)

    def refresh(self, always: Iterable[Address]) -> None:
        """What is needed whoever the peers are may change: a gateway, or where a name leads."""
        before, self._always = self._always, frozenset(always)
        if self._always != before:
            more = {address for address in self._always - before if address in self._network}
            self._change(more, (before - self._always) - set(self._peers.values()))

    def _inside(self, lease: Lease) -> Address | None:
        address = lease.attrs.public.ipv4
        return address if address is not None and address in self._network else None

    def _change(self, more: Collection[Address], less: Collection[Address]) -> None:
        """Some more, and some no more. What the kernel refuses is tried again by `repair`."""
        gone = [own for address in less if (own := self._routes.pop(address, None)) is not None]
        changes: list[Change] = [Remove(own.route) for own in gone]
        new = [address for address in more if address not in self._routes]
        try:
            with Channel() as channel:
                for address in new:
                    own = self._routes[address] = self._own(channel, address)
                    changes += [] if own is None else [Add(own.route)]
        except OSError as error:
            logger.error("Looking for ways past the overlay: %s. Retrying", error)  # noqa: TRY400
        kept = [address for address in new if self._routes.setdefault(address, None) is not None]
        if kept:
            named = ", ".join(map(str, kept[:NAMED]))
            more_of_them = f" and {len(kept) - NAMED} more" if len(kept) > NAMED else ""
            logger.info("Keeping out of the overlay, whose network covers them: %s%s", named, more_of_them)
        self._perform(changes)

    def routes(self) -> tuple[Route, ...]:
        """Those that there are to be."""
        return tuple(own.route for own in self._routes.values() if own is not None)

    def repair(self) -> int:
        """Have those routes that others took away, and follow another gateway; how many were put right."""
        if not self._routes:
            return 0
        changes: list[Change] = []
        with Channel() as channel:
            default = lookup(channel, ELSEWHERE[0], self._under)
            for address, own in self._routes.items():
                found = lookup(channel, address, self._under)
                if own is None:
                    own = self._own(channel, address)
                elif own.default and default is not None and default.gateway != own.route.gateway:
                    own = _Own(Route(own.route.destination, self._under, default.gateway), default=True)
                if own is not None and (
                    found is None or found.protocol != PROTOCOL or found.gateway != own.route.gateway
                ):
                    self._routes[address] = own
                    changes.append(Add(own.route))
        self._perform(changes)
        return len(changes)

    def close(self) -> None:
        """Have none: the route of the whole network is gone."""
        self.begin(())

    def _own(self, channel: Channel, address: Address) -> _Own | None:
        """The route that it needs; None if it needs none."""
        taken = lookup(channel, address)
        beside = taken is not None and taken.device != self._under
        if beside and taken is not None and taken.destination.prefixlen > self._network.prefixlen:
            return None
        found = lookup(channel, address, self._under)
        if found is None or (
            found.protocol != PROTOCOL and found.destination.prefixlen > self._network.prefixlen
        ):
            return None
        host = Route(IPv4Network(str(address)), self._under, found.gateway)
        default = lookup(channel, ELSEWHERE[0], self._under)
        return _Own(host, default=default is not None and default.gateway == found.gateway)

    def _perform(self, changes: Collection[Change]) -> None:
        if not changes:
            return
        try:
            failed = kernel_table.perform(list(changes))
        except OSError as error:
            logger.error("Changing routes past the overlay: %s. Retrying", error)  # noqa: TRY400
            return
        for _, refusal in failed:
            logger.error("%s: the overlay covers it, so it is out of reach. Retrying", refusal.strerror)
