"""Inspects our devices and brings them into their wanted state."""

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import devices
from flanneld_py.kernel.addresses import (
    RTM_NEWADDR,
    HeldAddress,
    dump_addresses,
    forget_address,
    give_address,
    held_address,
)
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.desired import (
    Action,
    AddAddress,
    ConfigureLink,
    DesiredDevice,
    FoundDevice,
    Recreate,
    RemoveAddress,
    compare,
)
from flanneld_py.kernel.devices import IFF_UP
from flanneld_py.kernel.entries import Add as PutEntry
from flanneld_py.kernel.entries import Route
from flanneld_py.kernel.netlink import Request
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    RTM_NEWROUTE,
    dump_routes,
    encode,
    seen_route,
)

__all__ = ["Reconciled", "establish", "reconcile"]

GONE = frozenset({errno.EADDRNOTAVAIL})
"""Errors that mean that an address to be removed does not exist."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The result of `reconcile`: repairs done, repairs refused by the kernel, why a new claim is needed."""

    done: tuple[Action, ...] = ()
    refused: tuple[tuple[Action, OSError], ...] = ()
    anew: str = ""


def reconcile(wanted: Sequence[DesiredDevice]) -> Reconciled:
    """Inspect these devices and repair what can be repaired. Raises `OSError` if they cannot be inspected."""
    if not wanted:
        return Reconciled()
    done: list[Action] = []
    refused: list[tuple[Action, OSError]] = []
    with Channel() as channel:
        for device in wanted:
            for action in compare(device, _found(channel, device)):
                if isinstance(action, Recreate):
                    return Reconciled(tuple(done), tuple(refused), action.reason)
                error = _perform(channel, action)
                if error is None:
                    done.append(action)
                else:
                    refused.append((action, error))
    return Reconciled(tuple(done), tuple(refused))


def establish(device: DesiredDevice) -> None:
    """Bring an existing device into its wanted state. Raises `Fatal`."""
    given = " and ".join(map(str, device.addresses)) or "no address"
    size = f" and MTU {device.mtu}" if device.mtu else ""
    try:
        with Channel() as channel:
            for action in compare(device, _found(channel, device)):
                if isinstance(action, Recreate):  # it has just disappeared
                    raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
                error = _perform(channel, action)
                if error is not None:
                    raise error
    except OSError as error:
        raise Fatal(
            f"Configuring {device.name} with {given}{size}: {error.strerror or error}", code=Exit.KERNEL
        ) from error


def _perform(channel: Channel, action: Action) -> OSError | None:
    """Perform an action; return the error if the kernel refused."""
    try:
        channel.execute(_request(action))
    except OSError as error:
        if not (isinstance(action, RemoveAddress) and error.errno in GONE):
            return error
    return None


def _request(action: Action) -> Request:
    match action:
        case ConfigureLink(index, mtu, queue_length):
            return devices.change(index, mtu=mtu, queue_length=queue_length, up=True)
        case RemoveAddress(index, address):
            return forget_address(index, address)
        case AddAddress(index, address):
            return give_address(index, address)
        case Recreate():
            raise ValueError(f"no kernel request performs this action: {action}")
    return encode(PutEntry(action.route))


def _found(channel: Channel, wanted: DesiredDevice) -> FoundDevice | None:
    try:
        data, message = channel.ask(devices.get_link(wanted.name))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    link = devices.device(data, message.start, message.end)
    up = bool(link.flags & IFF_UP)
    if link.index != wanted.index:
        return FoundDevice(link.index, up, link.mtu)
    addresses = tuple(_addresses(channel, link.index)) if wanted.addresses else ()
    routes = tuple(_routes(channel, wanted))
    return FoundDevice(link.index, up, link.mtu, link.queue_length, link.mac, addresses, routes)


def _addresses(channel: Channel, index: int) -> Iterator[HeldAddress]:
    for data, message in channel.dump(dump_addresses(0, index), RTM_NEWADDR):
        held = held_address(data, message.start, message.end)
        if held is not None and held.device == index:  # kernels before 4.20 list the addresses of all devices
            yield held


def _routes(channel: Channel, wanted: DesiredDevice) -> Iterator[Route]:
    for version, family in ((4, AF_INET), (6, AF_INET6)):
        if not any(route.destination.version == version for route in wanted.routes):
            continue
        for data, message in channel.dump(dump_routes(family, wanted.index), RTM_NEWROUTE):
            item = seen_route(data, message.start, message.end)
            if item is not None and not item.altered and isinstance(item.entry, Route):
                yield item.entry
