"""The machine's interfaces and default routes, from which the external interface is chosen."""

import errno
from collections.abc import Iterator, Sequence

from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.addresses import RTM_NEWADDR, dump_addresses, held_address
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.devices import RTM_NEWLINK, Device, device, dump_links, get_link_of
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.next_hop_messages import default_next_hop, get_route, next_hop, sources
from flanneld_py.kernel.rtnetlink import AF_INET, AF_INET6, RTM_NEWROUTE, dump_routes, seen_route
from flanneld_py.subnet import Address
from flanneld_py.underlay.changes import InterfaceState
from flanneld_py.underlay.interface import (
    IFA_F_DADFAILED,
    IFA_F_TENTATIVE,
    AssignedAddress,
    Candidate,
    NextHop,
    Routes,
)

__all__ = ["glance", "look"]


def look(can_reach: Address | None) -> tuple[tuple[Candidate, ...], Routes]:
    """List all interfaces by index, the default next hops, and the one to `can_reach`. Raises `Fatal`."""
    try:
        with Channel() as channel:
            return _candidates(channel), _routes(channel, can_reach)
    except OSError as error:
        reason = error.strerror or error
        raise Fatal(f"Listing the interfaces of this machine: {reason}", code=Exit.KERNEL) from error


def glance(index: int) -> InterfaceState:
    """Return the state of an interface, under whatever name, and all usable addresses. Raises `OSError`.

    This is called often, so it makes only cheap queries: routes are not included.
    """
    with Channel() as channel:
        link = _link_of(channel, index)
        dumped = channel.dump(dump_addresses(0), RTM_NEWADDR)
    found = [held_address(data, message.start, message.end) for data, message in dumped]
    there = [held for held in found if held is not None]
    unusable = IFA_F_TENTATIVE | IFA_F_DADFAILED
    usable = frozenset(held.address.ip for held in there if not held.flags & unusable)
    if link is None:
        return InterfaceState(None, usable)
    own = tuple(AssignedAddress(held.address, held.flags) for held in there if held.device == index)
    return InterfaceState(Candidate(link.name, link.index, link.mtu, link.flags, own), usable)


def _link_of(channel: Channel, index: int) -> Device | None:
    try:
        data, message = channel.ask(get_link_of(index))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return device(data, message.start, message.end)


def _candidates(channel: Channel) -> tuple[Candidate, ...]:
    addresses: dict[int, list[AssignedAddress]] = {}
    for data, message in channel.dump(dump_addresses(0), RTM_NEWADDR):
        held = held_address(data, message.start, message.end)
        if held is not None:
            addresses.setdefault(held.device, []).append(AssignedAddress(held.address, held.flags))
    found = [
        device(data, message.start, message.end) for data, message in channel.dump(dump_links(), RTM_NEWLINK)
    ]
    routes: dict[int, list[Route]] = {}
    for route in (*_main_table(channel, AF_INET), *_main_table(channel, AF_INET6)):
        routes.setdefault(route.device, []).append(route)
    return tuple(
        _candidate(link, addresses.get(link.index, []), routes.get(link.index, []))
        for link in sorted(found, key=lambda link: link.index)
    )


def _candidate(link: Device, held: Sequence[AssignedAddress], routes: Sequence[Route]) -> Candidate:
    preferred = sources(routes, [item.address.ip for item in held])
    return Candidate(link.name, link.index, link.mtu, link.flags, tuple(held), preferred)


def _main_table(channel: Channel, family: int) -> Iterator[Route]:
    for data, message in channel.dump(dump_routes(family), RTM_NEWROUTE):
        seen = seen_route(data, message.start, message.end)
        if seen is not None and isinstance(seen.entry, Route):
            yield seen.entry


def _routes(channel: Channel, can_reach: Address | None) -> Routes:
    reach, why = None, ""
    if can_reach is not None:
        try:
            data, message = channel.ask(get_route(can_reach))
            reach = next_hop(data, message.start, message.end)
        except OSError as error:
            why = error.strerror or str(error)
    return Routes(_default(channel, AF_INET), _default(channel, AF_INET6), reach, why)


def _default(channel: Channel, family: int) -> NextHop | None:
    """Return the next hop of the default route with the lowest metric in the main table."""
    found = [
        default
        for data, message in channel.dump(dump_routes(family), RTM_NEWROUTE)
        if (default := default_next_hop(family, data, message.start, message.end)) is not None
    ]
    return min(found, key=lambda default: default[0])[1] if found else None
