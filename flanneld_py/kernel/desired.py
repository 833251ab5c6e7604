"""What is ours in this machine's kernel: what is wanted, what is seen, and what to do about it. Pure.

Each backend declares its devices (`DesiredDevice`); `kernel.own_devices` looks at them and performs what
`compare` says, when a lease is taken and again and again while it is held.
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
    """A device of ours, which is to be up and to have all of this; 0 and "" stand for whatever it has.

    `mtu` is in bytes, `queue_length` in packets, `routes` are those that the kernel makes by itself with an
    address. `pools` are those that leases come from: so an address of a lease of the past is told from one
    that somebody else has given the device, which stays.
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
    """The device of a wanted one's name, as the kernel has it."""

    index: int
    up: bool
    mtu: int
    queue_length: int = 0
    mac: str = ""
    addresses: tuple[HeldAddress, ...] = ()
    routes: tuple[Route, ...] = ()


# What to do


@dataclass(frozen=True, slots=True)
class Recreate:
    """Only another `Backend.claim` helps; `reason` says what has befallen the device, and what is done."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class ConfigureLink:
    """Set the device up, with this MTU and queue length where not 0; `found` says how it was."""

    index: int
    mtu: int
    queue_length: int
    found: str

    def __str__(self) -> str:
        return self.found


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """Take an address away."""

    index: int
    address: Interface
    name: str

    def __str__(self) -> str:
        return f"{self.name} had the address {self.address} of a lease of the past"


@dataclass(frozen=True, slots=True)
class AddAddress:
    """Give it an address."""

    index: int
    address: Interface
    name: str

    def __str__(self) -> str:
        return f"{self.name} had lost the address {self.address}"


@dataclass(frozen=True, slots=True)
class AddRoute:
    """Have this route, whatever was in its place."""

    route: Route
    name: str

    def __str__(self) -> str:
        return f"{self.name} had lost the route to {self.route.destination}"


Action: TypeAlias = Recreate | ConfigureLink | RemoveAddress | AddAddress | AddRoute


def compare(wanted: DesiredDevice, found: FoundDevice | None) -> tuple[Action, ...]:
    """What makes the device as it is wanted, in this order. Nothing to do: an empty tuple."""
    name = wanted.name
    if found is None:
        return (Recreate(f"The device {name} is gone: recreating it"),)
    if found.index != wanted.index:
        return (Recreate(f"The device {name} was recreated by another process: replacing it"),)
    if wanted.mac and found.mac != wanted.mac:
        change = f"from {wanted.mac} to {found.mac}"
        return (Recreate(f"The MAC of {name} was changed {change}: peers are told"),)
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
    """Whether a flanneld gave it to the device: by our mark, or as the first address of some subnet.

    A genuine flannel leaves no mark, and kernels before 5.18 keep none.
    """
    if held.ours:
        return True
    address = held.address.ip
    return any(
        address in pool.network and not int(address) & (1 << address.max_prefixlen - pool.subnet_len) - 1
        for pool in pools
    )


def pools(network: NetworkConfig) -> tuple[AnyPool, ...]:
    """Those that the network has."""
    return tuple(pool for pool in (network.ipv4, network.ipv6) if pool is not None)


# What the kernel tells by itself

MOST: Final = 64
"""News of routes that are kept one by one; of more, only that there were many."""


@dataclass(frozen=True, slots=True)
class RouteNotice:
    """A route that has come, or, with `gone`, that has been taken away; `altered` as of `Seen`."""

    route: Route
    gone: bool = False
    altered: bool = False


@dataclass(frozen=True, slots=True)
class KernelNotice:
    """What was told: something of a device or an address (`links`), routes, or more of them than are kept."""

    links: bool = False
    routes: tuple[RouteNotice, ...] = ()
    many: bool = False

    def joined(self, other: "KernelNotice") -> "KernelNotice":
        """Both of it."""
        routes = self.routes + other.routes
        many = self.many or other.many or len(routes) > MOST
        return KernelNotice(self.links or other.links, () if many else routes, many)


def concerns(heard: KernelNotice, wanted: Mapping[Slot, Entry]) -> bool:
    """Whether it may say of a route that is wanted that it is not as it should be.

    What we do ourselves is told as well, and says what is wanted by then.
    """
    return heard.many or any(_concerns(news, wanted) for news in heard.routes)


def _concerns(news: RouteNotice, wanted: Mapping[Slot, Entry]) -> bool:
    there = wanted.get(slot(news.route))
    if there is None:
        return False
    as_wanted = news.route == there and not news.altered
    return as_wanted if news.gone else not as_wanted
