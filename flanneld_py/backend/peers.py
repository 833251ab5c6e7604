"""One peer's part: what it takes to carry packets to it, and why there is nothing for it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from flanneld_py.kernel.entries import Entry
from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Address, Addresses, Subnet
from flanneld_py.underlay.interface import NextHop

__all__ = [
    "Carried",
    "Direct",
    "Remark",
    "ignored",
    "of_families",
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


@dataclass(frozen=True, slots=True)
class Direct:
    """The peers' addresses that are on the link of an interface, whose `index` it is: no router is between.

    What the kernel's `ways` say counts, not the prefix of the interface's address: an administrator's route
    may lead to a part of that by a router, and in a cloud the prefix is that of one address.
    """

    index: int
    ways: Mapping[Address, NextHop]

    def __contains__(self, address: Address) -> bool:
        way = self.ways.get(address)
        return way is not None and way.index == self.index and way.gateway is None


def of_families(public: Addresses, overlay: Subnet) -> Addresses:
    """Those of our public addresses by which peers of this overlay send; flannel announces no other."""
    return Addresses(
        None if overlay.ipv4 is None else public.ipv4, None if overlay.ipv6 is None else public.ipv6
    )


def ignored(lease: Lease, ours: str, own: Subnet) -> Remark | None:
    """Why there can be nothing for this peer, if so; `ours` is our backend's type, `own` our subnet."""
    kind = lease.attrs.backend_type
    if kind != ours:
        others = f"{lease.subnet} of {lease.attrs.public}, and any other of that type"
        return Remark(f"type={kind}", f"Ignoring non-{ours} subnet: type={kind} ({others})")
    if not lease.subnet.overlaps(own):
        return None
    text = f"Ignoring the subnet {lease.subnet} of {lease.attrs.public}: it overlaps ours, {own}"
    return Remark(f"overlap {lease.subnet}", text)


def unusable(public: Address | None) -> str:
    """Why no packet can be sent to a peer's public address; "" if it can."""
    if public is None:
        return "its lease has no public address of that family"
    if public.is_multicast or public.is_loopback or public.is_unspecified:
        return f"its public address {public} is no machine's"
    return ""
