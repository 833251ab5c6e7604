"""How the external interface changes while the daemon runs: we follow it, or miss it. Pure."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

from flanneld_py.subnet import Address
from flanneld_py.underlay.interface import (
    IFA_F_DADFAILED,
    IFF_UP,
    Candidate,
    Families,
    Interface,
    InterfaceSelection,
    usable_addresses,
)

__all__ = ["InterfaceState", "changes", "follow"]


@dataclass(frozen=True, slots=True)
class InterfaceState:
    """The device with an interface's index, if there is one, and all addresses that the machine can use."""

    device: Candidate | None
    usable: frozenset[Address] = frozenset()


def follow(
    interface: Interface,
    seen: InterfaceState,
    needs: Families,
    selection: InterfaceSelection,
    *,
    patient: bool = True,
) -> Interface | str:
    """The interface as it is now, or what it lacks for peers to reach us through it.

    An address that the user asked for is not exchanged for another. One that replaced an address is taken at
    once, but one that existed all along only when we are no longer `patient`: DHCP clients sometimes remove
    an address for a moment.
    """
    device = seen.device
    if device is None:
        return f"the interface {interface.name} is gone"
    followed = replace(interface, name=device.name, mtu=device.mtu)
    # The kernel removes IPv6 addresses of a device that is down; whatever set them sets them again.
    if not device.flags & IFF_UP:
        return followed
    lost = [address for address in _needed(interface, needs) if not _has(seen, device, interface, address)]
    for address in lost:
        other = (
            None if _is_requested(address, selection) else _instead_of(address, interface, device, patient)
        )
        if other is None:
            return f"{device.name} has lost the address {address}"
        followed = _with(followed, other)
    if not lost:
        return followed
    everything = tuple(held.address for held in device.addresses)
    return replace(
        followed,
        ipv4_networks=tuple(address for address in everything if isinstance(address, IPv4Interface)),
        ipv6_networks=tuple(address for address in everything if isinstance(address, IPv6Interface)),
    )


def _needed(interface: Interface, needs: Families) -> list[Address]:
    addresses: list[Address] = []
    if needs.ipv4 and interface.ipv4 is not None:
        addresses.append(interface.ipv4)
    if needs.ipv6 and interface.ipv6 is not None:
        addresses.append(interface.ipv6)
    return addresses


def _has(seen: InterfaceState, device: Candidate, interface: Interface, address: Address) -> bool:
    """-public-ip may be an address of another interface, a loopback one say, from the beginning."""
    if address not in _known(interface):
        return address in seen.usable
    return any(held.address.ip == address and not held.flags & IFA_F_DADFAILED for held in device.addresses)


def _known(interface: Interface) -> set[Address]:
    known: set[Address] = {each.ip for each in interface.ipv4_networks}
    return known | {each.ip for each in interface.ipv6_networks}


def _is_requested(address: Address, selection: InterfaceSelection) -> bool:
    if address in (selection.public.ipv4, selection.public.ipv6):
        return True
    for name in selection.names:
        try:
            if ip_address(name) == address:
                return True
        except ValueError:
            continue
    return False


def _instead_of(address: Address, interface: Interface, seen: Candidate, patient: bool) -> Address | None:
    known = _known(interface)
    others = [
        other
        for other in usable_addresses(seen)
        if other.version == address.version and (address.is_link_local or not other.is_link_local)
    ]
    new = [other for other in others if other not in known]
    return next(iter(new if patient else [*new, *others]), None)


def _with(interface: Interface, address: Address) -> Interface:
    if isinstance(address, IPv4Address):
        return replace(interface, ipv4=address)
    return replace(interface, ipv6=address)


def changes(before: Interface, after: Interface) -> str:
    """What is different, in words; "" if nothing that matters."""
    found = []
    if after.name != before.name:
        found.append(f"{before.name} was renamed to {after.name}")
    if after.index != before.index:
        found.append(f"{after.name} is not the same device as {before.name} was")
    if after.mtu != before.mtu:
        found.append(f"the MTU of {after.name} is {after.mtu}, no longer {before.mtu}")
    pairs: tuple[tuple[IPv4Address | IPv6Address | None, IPv4Address | IPv6Address | None], ...] = (
        (before.ipv4, after.ipv4),
        (before.ipv6, after.ipv6),
    )
    for old, new in pairs:
        if new != old and new is not None:
            instead = "" if old is None else f" instead of {old}"
            found.append(f"{after.name} has the address {new}{instead}")
    return " and ".join(found)
