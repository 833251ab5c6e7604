"""One peer's part: what it takes to carry packets to it, and why there is nothing for it. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address

from flanneld_py.interface import Interface
from flanneld_py.kernel.entries import Entry
from flanneld_py.lease import Lease
from flanneld_py.subnet import Address, Addresses, Network, Subnet

__all__ = [
    "Carried",
    "Remark",
    "cut",
    "foreign",
    "links",
    "of_families",
    "on_link",
    "overlapping",
    "unusable",
]


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to warn of, once for each `topic`."""

    topic: str
    text: str


@dataclass(frozen=True, slots=True)
class Carried:
    """What it takes to carry packets to one peer, in the order in which the kernel should get it."""

    entries: tuple[Entry, ...] = ()
    remarks: tuple[Remark, ...] = ()


def on_link(interface: Interface, address: Address) -> bool:
    """Whether the address is of a network of the interface, so that no router is between."""
    return any(address in network for network in links(interface, address))


def links(interface: Interface, address: Address) -> tuple[Network, ...]:
    """The interface's networks of the address's family."""
    if isinstance(address, IPv4Address):
        return tuple(own.network for own in interface.ipv4_networks)
    return tuple(own.network for own in interface.ipv6_networks)


def of_families(public: Addresses, overlay: Subnet) -> Addresses:
    """Those of our public addresses by which peers of this overlay send; flannel announces no other."""
    return Addresses(
        None if overlay.ipv4 is None else public.ipv4, None if overlay.ipv6 is None else public.ipv6
    )


def foreign(lease: Lease, ours: str) -> Remark:
    """The lease is of another backend type, so we cannot reach that peer."""
    kind = lease.attrs.backend_type
    others = f"{lease.subnet} of {lease.attrs.public}, and any other of that type"
    return Remark(f"type={kind}", f"Ignoring non-{ours} subnet: type={kind} ({others})")


def overlapping(lease: Lease, own: Subnet) -> Remark:
    """The lease's subnet is partly ours."""
    text = f"Ignoring the subnet {lease.subnet} of {lease.attrs.public}: it overlaps ours, {own}"
    return Remark(f"overlap {lease.subnet}", text)


def unusable(public: Address | None) -> str:
    """Why no packet can be sent to a peer's public address; "" if it can."""
    if public is None:
        return "its lease has no public address of that family"
    if public.is_multicast or public.is_loopback or public.is_unspecified:
        return f"its public address {public} is no machine's"
    return ""


def cut(value: object) -> str:
    """A value for a message; etcd keeps up to 1.5 MiB."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
