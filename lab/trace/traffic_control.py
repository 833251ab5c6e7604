"""What traffic control (tc(8)) does with a packet that leaves or enters a device. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.queueing import ONLY_QUEUE
from lab.trace.machine import Filter, Holder, Link, Machine, Namespace, Qdisc
from lab.trace.packet import Packet

__all__ = ["Detour", "follow", "shaping"]

MOST = 16
"""Devices that a detour is followed through."""

ETHERTYPES = {4: "ip", 6: "ipv6"}


@dataclass(frozen=True, slots=True)
class Detour:
    """Where filters take a packet."""

    steps: tuple[str, ...]
    """What it passes, in words: devices, queueing disciplines, processes."""
    ends: str = ""
    """Why it comes no further; empty where it comes back to the device that it was taken from."""


def shaping(namespace: Namespace, device: str) -> Qdisc | None:
    """The queueing discipline of a device that does more than to queue."""
    found = (it for it in namespace.qdiscs if it.device == device and it.kind not in ONLY_QUEUE)
    return next(found, None)


def follow(machine: Machine, namespace: Namespace, device: str, place: str, packet: Packet) -> Detour | None:
    """Where a packet goes that filters at a place of a device take; None for one that they leave alone.

    `place` is egress or ingress.
    """
    found = _first(namespace, device, place, packet, "")
    if found is None or found.action in ("pass", "ok", "mirror"):
        return None
    if found.action != "redirect":
        return Detour((f"a filter at {place} of {device}",), f"it says {found.action}")
    return _followed(machine, namespace, device, found, packet)


def _followed(machine: Machine, namespace: Namespace, origin: str, first: Filter, packet: Packet) -> Detour:
    steps: list[str] = []
    taken = first
    for _ in range(MOST):
        link = namespace.links.get(taken.target)
        if link is None:
            return Detour(tuple(steps), f"{taken.target} is not there")
        if link.name == origin:
            return Detour(tuple(steps))
        steps.append(link.name)
        if not link.up:
            return Detour(tuple(steps), f"{link.name} is down")
        if taken.inwards:
            return Detour(tuple(steps), "")
        queue = shaping(namespace, link.name)
        if queue is not None:
            steps.append(str(queue))
        behind, why = _behind(machine, namespace, link)
        if behind is None:
            return Detour(tuple(steps), why)
        if why:
            steps.append(why)
        following = _first(namespace, behind.name, "ingress", packet, behind.name)
        if following is None or following.action != "redirect":
            return Detour(tuple(steps), f"nothing takes it on from {behind.name}")
        taken = following
    return Detour(tuple(steps), f"it does not come back within {MOST} devices")


def _behind(machine: Machine, namespace: Namespace, link: Link) -> tuple[Link | None, str]:
    """The device that what leaves by this one comes in by, and who is between; None, and why, if none."""
    if link.kind == "veth":
        peer = namespace.by_index(link.peer) if link.peer else namespace.links.get(link.peer_name)
        return (peer, "") if peer is not None else (None, f"the other end of {link.name} is elsewhere")
    if link.kind == "tun":
        holder = machine.holders.get(link.name)
        if holder is None:
            return None, f"no process reads {link.name}"
        if holder.stands_still:
            return None, f"{_named(holder)}, which reads {link.name}, stands still"
        return link, _named(holder)
    return None, f"{link.name} is no pair and no tap"


def _named(holder: Holder) -> str:
    return f"the process {holder.pid} ({holder.name})"


def _at(namespace: Namespace, device: str, place: str) -> Iterator[Filter]:
    places = {"egress": ("egress", "root"), "ingress": ("ingress",)}[place]
    found = [it for it in namespace.filters if it.device == device and it.place in places]
    yield from sorted(found, key=lambda it: it.preference)


def _first(namespace: Namespace, device: str, place: str, packet: Packet, into: str) -> Filter | None:
    """The first filter that matches. Of a kind that is not known here, none does."""
    for item in _at(namespace, device, place):
        if item.protocol not in ("all", ETHERTYPES[packet.family]):
            continue
        if item.comes_from and item.comes_from != into:
            continue
        if item.kind == "matchall" or (item.kind == "u32" and _matches(item, packet)):
            return item
    return None


def _matches(item: Filter, packet: Packet) -> bool:
    head = packet.head()
    for value, mask, offset in item.keys:
        word = int.from_bytes(head[offset : offset + 4].ljust(4, b"\0"))
        if word & mask != value & mask:
            return False
    return True
