"""Reads and changes routes, neighbours and FDB entries in this machine's kernel."""

import errno
import socket
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import suppress
from typing import Final

from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.entries import PROTOCOL, Change, Neighbour, Remove, Route, SeenEntry, Slot
from flanneld_py.kernel.netlink import Request
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    dump_fdb,
    dump_neighbours,
    dump_routes,
    encode,
    seen_neighbour,
    seen_route,
)

__all__ = ["FAMILIES", "marked", "perform", "seen"]

FAMILIES: Final = (AF_INET, AF_INET6)

ABSENT: Final = frozenset({errno.ESRCH, errno.ENOENT, errno.ENODEV})
"""Errors that mean that what is to be deleted does not exist: a route, a neighbour, or its device."""


def perform(changes: Sequence[Change]) -> list[tuple[Change, OSError]]:
    """Make the changes in order; return those that failed, with what was attempted and the kernel's reason.

    A failure does not stop the rest. Raises `OSError` if the kernel cannot be asked at all.
    """
    with Channel() as channel:
        failed = channel.request([encode(change) for change in changes])
    return [
        (changes[place], _explained(changes[place], error))
        for place, error in failed.items()
        if not (isinstance(changes[place], Remove) and error.errno in ABSENT)
    ]


def marked(protocol: int = PROTOCOL) -> list[SeenEntry]:
    """Return all routes and neighbours with this mark, of any device. Raises `OSError`."""
    with Channel() as channel:
        routes = [
            item
            for family in FAMILIES
            for item, route in _routes(channel, family)
            if route.protocol == protocol
        ]
        if protocol != PROTOCOL:
            return routes
        neighbours = [
            item for family in FAMILIES for item in _neighbours(channel, dump_neighbours(family, 0))
        ]
    return routes + [item for item in neighbours if item.ours and isinstance(item.entry, Neighbour)]


def seen(
    devices: Collection[int], families: Collection[int] = FAMILIES, wanted: Container[Slot] = ()
) -> list[SeenEntry]:
    """Return the kernel entries that concern us.

    These are all routes with our mark, all routes through these devices or to a destination in `wanted`, and
    all neighbours and FDB entries of these devices. Raises `OSError`.
    """
    found = []
    with Channel() as channel:
        for family in families:
            for item, route in _routes(channel, family):
                if item.ours or route.device in devices or route.destination in wanted:
                    found.append(item)
            for device in devices:
                found += _neighbours(channel, dump_neighbours(family, device), device)
        for device in devices:
            found += _neighbours(channel, dump_fdb(device), device)
    return found


def _routes(channel: Channel, family: int) -> Iterator[tuple[SeenEntry, Route]]:
    version = 4 if family == AF_INET else 6
    for data, message in channel.dump(dump_routes(family), RTM_NEWROUTE):
        item = seen_route(data, message.start, message.end)
        if item is None or not isinstance(route := item.entry, Route):
            continue
        if route.destination.version == version:  # a kernel without IPv6 lists IPv4 instead
            yield item, route


def _neighbours(channel: Channel, request: Request, device: int = 0) -> Iterator[SeenEntry]:
    """Yield the entries of a device, or of all."""
    try:
        listed = channel.dump(request, RTM_NEWNEIGH)
    except OSError as error:
        if error.errno == errno.ENODEV:  # the device is gone
            return
        raise
    for data, message in listed:
        item = seen_neighbour(data, message.start, message.end)
        if item is not None and item.entry.device == (device or item.entry.device):
            yield item


def _explained(change: Change, error: OSError) -> OSError:
    doing = "Deleting" if isinstance(change, Remove) else "Setting"
    what = f"{doing} {change.entry}"
    with suppress(OSError):
        device = change.entry.device
        what = what.replace(f"dev #{device}", f"dev {socket.if_indextoname(device)}")
    return OSError(error.errno, f"{what}: {error.strerror}")
