"""The kernel devices that we own: wanted state, found state, and the actions that reconcile them. Pure.

Each backend declares its devices (`DesiredDevice`). `kernel.own_devices` inspects them and performs what
`compare` returns, when a lease is acquired and periodically while it is held.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Final, TypeAlias

from flanneld_py.config.model import NetworkConfig, Pool
from flanneld_py.kernel.addresses import HeldAddress
from flanneld_py.kernel.entries import Entry, Route, Slot, slot

__all__ = [
    "Action",
    "AddAddress",
    "AddRoute",
    "AnyPool",
    "ConfigureLink",
    "DesiredDevice",
    "FoundDevice",
    "KernelNotice",
    "Recreate",
    "RemoveAddress",
    "RouteNotice",
]
__all__ += ["compare", "concerns", "pools"]

Interface: TypeAlias = IPv4Interface | IPv6Interface
AnyPool: TypeAlias = Pool[IPv4Network] | Pool[IPv6Network]


@dataclass(frozen=True, slots=True)
class DesiredDevice:
    """A device of ours in its wanted state: up and with these properties; 0 and "" mean any value.

    `mtu` is in bytes, `queue_length` in packets; `routes` are those that the kernel creates along with an
    address. `pools` are the pools that leases are allocated from: they tell an address of a former lease,
    which is removed, from one that somebody else assigned, which stays.
    """

    name: str
    index: int
    mtu: int = 0
    addresses: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    queue_length: int = 0
    mac: str = ""
    pools: tuple[AnyPool, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """The device with the name of a wanted one, as it is in the kernel."""

    index: int
    up: bool
    mtu: int
    queue_length: int = 0
    mac: str = ""
    addresses: tuple[HeldAddress, ...] = ()
    routes: tuple[Route, ...] = ()


# Actions


@dataclass(frozen=True, slots=True)
class Recreate:
    """Call `Backend.claim` again; `reason` says what happened to the device and what is done about it."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class ConfigureLink:
    """Set the device up, with this MTU and queue length unless 0; `found` describes its state before."""

    index: int
    mtu: int
    queue_length: int
    found: str

    def __str__(self) -> str:
        return self.found


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """Remove an address."""

    index: int
    address: Interface
    name: str

    def __str__(self) -> str:
        return f"{self.name} had the address {self.address} of a former lease"


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Add an address."""

    index: int
    address: Interface
    name: str

    def __str__(self) -> str:
        return f"{self.name} had lost the address {self.address}"


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Add this route, replacing any in its place."""

    route: Route
    name: str

    def __str__(self) -> str:
        return f"{self.name} had lost the route to {self.route.destination}"


Action: TypeAlias = Recreate | ConfigureLink | RemoveAddress | AddAddress | AddRoute


def compare(wanted: DesiredDevice, found: FoundDevice | None) -> tuple[Action, ...]:
    """Return the actions, in order, that bring the device into its wanted state; empty if it is."""
    name = wanted.name
    if found is None:
        return (Recreate(f"The device {name} is gone: recreating it"),)
    if found.index != wanted.index:
        return (Recreate(f"The device {name} was recreated by another process: replacing it"),)
    if wanted.mac and found.mac != wanted.mac:
        change = f"from {wanted.mac} to {found.mac}"
        return (Recreate(f"The MAC of {name} was changed {change}: announcing it to peers"),)
    return tuple(_differences(wanted, found))


def _differences(wanted: DesiredDevice, found: FoundDevice) -> Iterator[Action]:
    name, index = wanted.name, wanted.index
    wrong = []
    if not found.up:
        wrong.append(f"{name} was set down")
    if wanted.mtu and found.mtu != wanted.mtu:
        wrong.append(f"{name} had an MTU of {found.mtu} instead of {wanted.mtu}")
    if wanted.queue_length and found.queue_length != wanted.queue_length:
        wrong.append(f"{name} had a queue of {found.queue_length} instead of {wanted.queue_length}")
    if wrong:
        yield ConfigureLink(index, wanted.mtu, wanted.queue_length, " and ".join(wrong))
    there = {held.address for held in found.addresses}
    for held in found.addresses:
        if held.address not in wanted.addresses and _is_of_a_lease(held, wanted.pools):
            yield RemoveAddress(index, held.address, name)
    for address in wanted.addresses:
        if address not in there:
            yield AddAddress(index, address, name)
    for route in wanted.routes:
        if route not in found.routes:
            yield AddRoute(route, name)


def _is_of_a_lease(held: HeldAddress, pools: Sequence[AnyPool]) -> bool:
    """Whether a flanneld assigned it: it has our mark, or is the first address of a possible subnet.

    Genuine flannel sets no mark, and kernels before 5.18 do not store one.
    """
    if held.ours:
        return True
    address = held.address.ip
    return any(
        address in pool.network and not int(address) & (1 << address.max_prefixlen - pool.subnet_len) - 1
        for pool in pools
    )


def pools(network: NetworkConfig) -> tuple[AnyPool, ...]:
    """Return the pools that the network has."""
    return tuple(pool for pool in (network.ipv4, network.ipv6) if pool is not None)


# Kernel notifications

MOST: Final = 64
"""Maximum number of route notices to keep; beyond that, only the fact that there were many."""


@dataclass(frozen=True, slots=True)
class RouteNotice:
    """A route that was added, or, with `gone`, removed; `altered` as in `SeenEntry`."""

    route: Route
    gone: bool = False
    altered: bool = False


@dataclass(frozen=True, slots=True)
class KernelNotice:
    """Notified changes: of devices or addresses (`links`), of routes, or of `many` routes, not kept."""

    links: bool = False
    routes: tuple[RouteNotice, ...] = ()
    many: bool = False

    def joined(self, other: "KernelNotice") -> "KernelNotice":
        """Combine two notices."""
        routes = self.routes + other.routes
        many = self.many or other.many or len(routes) > MOST
        return KernelNotice(self.links or other.links, () if many else routes, many)


def concerns(heard: KernelNotice, wanted: Mapping[Slot, Entry]) -> bool:
    """Whether the notice may mean that a wanted route is not as it should be.

    Notifications of our own changes show the wanted state, so they do not count.
    """
    return heard.many or any(_concerns(notice, wanted) for notice in heard.routes)


def _concerns(notice: RouteNotice, wanted: Mapping[Slot, Entry]) -> bool:
    there = wanted.get(slot(notice.route))
    if there is None:
        return False
    as_wanted = notice.route == there and not notice.altered
    return as_wanted if notice.gone else not as_wanted
