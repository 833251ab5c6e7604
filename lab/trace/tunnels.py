"""Into a tunnel and out of it: udp's, vxlan's, ipip's and wireguard's. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from lab.trace import fixes
from lab.trace.machine import Link, Machine, Namespace
from lab.trace.model import Component, Fault
from lab.trace.packet import HEADER, Address, Packet, Protocol, parse_address
from lab.trace.world import Answer, Lease, Overlay

__all__ = ["TUNNELS", "Encapsulation", "encapsulate", "tunnel_of"]

Noted = tuple[Component, str, Fault | None]
"""A hop that is to be noted."""

IN_IP = ("ipip", "sit", "ip6tnl")


@dataclass(frozen=True, slots=True)
class Encapsulation:
    """What is decided on the way into a tunnel."""

    before: Sequence[Noted]
    """What comes before the packet leaves by the tunnel's device."""
    after: Sequence[Noted]
    outer: Packet | None
    """What carries it; None where nobody can tell where that would go."""


@dataclass(frozen=True, slots=True)
class _Tunnel:
    """A packet that is to be carried, and what is known where that is."""

    machine: Machine
    link: Link
    next_hop: str
    packet: Packet
    overlay: Overlay
    there: Machine | None
    """The machine that has the destination."""
    destination: Address

    @property
    def here(self) -> Namespace:
        return self.machine.own


def encapsulate(
    machine: Machine,
    link: Link,
    route: Answer,
    packet: Packet,
    overlay: Overlay,
    there: Machine | None,
    destination: Address,
) -> Encapsulation:
    """What a tunnel's device does with a packet that a route sends into it."""
    next_hop = route.via or str(packet.destination)
    return TUNNELS[link.kind](_Tunnel(machine, link, next_hop, packet, overlay, there, destination))


def _udp(it: _Tunnel) -> Encapsulation:
    """The daemon that holds the device, or its fast path, puts the packet into a datagram."""
    notes: list[Noted] = []
    holder = it.machine.holders.get(it.link.name)
    if holder is None or holder.stands_still:
        told = "no process" if holder is None else f"{holder.name} ({holder.pid}) stands still"
        fault = fixes.no_daemon(it.here, it.link.name, holder)
        notes.append((Component.ENCAPSULATION, f"{it.link.name}: {told}", fault))
    remote, why = _remote(it)
    notes += why
    if remote is None:
        return Encapsulation((), notes, None)
    port, name = it.overlay.port, holder.name if holder is not None else "nobody"
    notes.append((Component.ENCAPSULATION, f"udp to {remote}:{port}, by {name}", None))
    return Encapsulation((), notes, _outer(it, remote, "udp", 8, port, port))


def _vxlan(it: _Tunnel) -> Encapsulation:
    """By the neighbour's MAC address, and the FDB entry of that."""
    before: list[Noted] = []
    after: list[Noted] = []
    wanted = parse_address(it.next_hop)
    known = it.here.neighbour(it.link.name, wanted) if wanted is not None else None
    remote = None
    if known is None or not known.mac:
        told = f"{it.next_hop} on {it.link.name}: none"
        before.append((Component.NEIGHBOUR, told, fixes.no_neighbour(it.here, it.link.name, it.next_hop)))
    else:
        entries = [entry for entry in it.here.fdb if entry[:2] == (it.link.name, known.mac)]
        if entries:
            remote = parse_address(entries[0][2])
        else:
            told = f"{known.mac} on {it.link.name}: no FDB entry"
            after.append((Component.ENCAPSULATION, told, fixes.no_fdb(it.here, it.link.name, known.mac)))
    if remote is None:
        remote, why = _remote(it)
        after += why
    if remote is None:
        return Encapsulation(before, after, None)
    after.append((Component.ENCAPSULATION, f"VNI {it.link.vni} to {remote}:{it.link.port}", None))
    # RFC 7348, 5: the outer UDP header, VXLAN's, and the inner Ethernet header.
    outer = _outer(it, remote, "udp", 8 + 8 + 14, it.link.port, 0, vni=it.link.vni)
    return Encapsulation(before, after, outer)


def _in_ip(it: _Tunnel) -> Encapsulation:
    why: list[Noted] = []
    remote = parse_address(it.next_hop)
    if remote is None or remote == it.packet.destination:
        remote, why = _remote(it)
    if remote is None:
        return Encapsulation((), why, None)
    notes = [*why, (Component.ENCAPSULATION, f"IP in IP to {remote}", None)]
    return Encapsulation((), notes, _outer(it, remote, "ipip", 0, 0, 0))


def _wireguard(it: _Tunnel) -> Encapsulation:
    remote, why = _remote(it)
    if remote is None:
        return Encapsulation((), why, None)
    notes = [*why, (Component.ENCAPSULATION, f"WireGuard to {remote}", None)]
    return Encapsulation((), notes, _outer(it, remote, "udp", 8 + 32, it.overlay.port, it.overlay.port))


TUNNELS: dict[str, Callable[[_Tunnel], Encapsulation]] = {
    "tun": _udp,
    "vxlan": _vxlan,
    **dict.fromkeys(IN_IP, _in_ip),
    "wireguard": _wireguard,
}
"""By the kind of the tunnel's device."""


def _outer(
    it: _Tunnel, remote: Address, protocol: Protocol, headers: int, port: int, from_port: int, vni: int = 0
) -> Packet:
    source = _outside(it.here, None, remote.version) or remote
    size = it.packet.size + HEADER[remote.version] + headers
    return Packet(source, remote, protocol, size, port, from_port, inner=it.packet, vni=vni)


def _remote(it: _Tunnel) -> tuple[Address | None, list[Noted]]:
    """The machine that a lease names for the packet's destination; without one, the one that should be."""
    lease = next((lease for lease in it.overlay.leases if it.packet.destination in lease.subnet), None)
    if lease is not None:
        return lease.address, _checked(it, lease)
    notes: list[Noted] = []
    if it.overlay.leases_known:
        fault = fixes.no_lease(it.here, it.packet, it.overlay.networks)
        notes.append((Component.ENCAPSULATION, f"no lease for {it.packet.destination}", fault))
    return (_outside(it.there.own, it.here) if it.there is not None else None), notes


def _checked(it: _Tunnel, lease: Lease) -> list[Noted]:
    """Whether the lease leads to the machine that has the destination."""
    if it.there is None or it.packet.destination != it.destination:
        return []
    if any(link.has(lease.address) for link in it.there.own.links.values()):
        return []
    fault = fixes.wrong_lease(it.here, lease.subnet, lease.address, it.there.name)
    return [(Component.ENCAPSULATION, f"lease {lease.subnet}: {lease.address}", fault)]


def _outside(here: Namespace, towards: Namespace | None, family: int = 4) -> Address | None:
    """A machine's address in the underlay: on the segment of another machine, if that is named."""
    cards = [link for link in here.links.values() if link.kind in ("veth", "") and not link.master]
    own = [it for link in cards for it in link.addresses if it.version == family and not it.ip.is_loopback]
    own = [it for it in own if not it.ip.is_link_local]
    if towards is not None:
        theirs: set[IPv4Network | IPv6Network] = {
            it.network for link in towards.links.values() for it in link.addresses
        }
        own = [it for it in own if it.network in theirs] or own
    return own[0].ip if own else None


def tunnel_of(machine: Machine, outer: Packet) -> Link | None:
    """The device that takes packets out of what has arrived; None if there is none."""
    links = machine.own.links.values()
    if outer.protocol == "ipip":
        return next((it for it in links if it.kind in IN_IP and it.addresses), None)
    for link in links:
        takes = link.carried in (0, outer.family)  # each version of IP has its own socket for the port
        if link.kind == "vxlan" and link.vni and takes and (link.port, link.vni) == (outer.port, outer.vni):
            return link
    if outer.vni:
        return None
    if (wireguard := next((it for it in links if it.kind == "wireguard"), None)) is not None:
        return wireguard
    listens = any(it.protocol == "udp" and it.port == outer.port for it in machine.own.listeners)
    return next((it for it in links if it.kind == "tun" and it.name in machine.holders and listens), None)
