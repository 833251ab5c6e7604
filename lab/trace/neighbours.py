"""Who is at the other end: of a veth pair, behind a bridge, or on the machines' own network. Pure."""

from collections.abc import Mapping

from lab.trace import fixes
from lab.trace.machine import Link, Machine, Namespace
from lab.trace.model import Component, Fault
from lab.trace.packet import Address, parse_address

__all__ = ["across", "behind", "misdirected", "not_behind", "owner", "unresolved"]


def across(machine: Machine, here: Namespace, link: Link) -> tuple[Namespace, Link] | None:
    """The other end of a veth pair, where it is in another namespace of this machine that is known."""
    if link.kind != "veth" or not link.peer:
        return None
    for there in machine.namespaces.values():
        far = there.by_index(link.peer) if there.name != here.name else None
        if far is not None and far.kind == "veth" and far.peer == link.index:
            return there, far
    return None


def behind(machine: Machine, bridge: Link, address: Address | None) -> tuple[Link, Namespace, Link] | None:
    """The port of a bridge behind which a container has an address, and the container's own device."""
    for there in machine.namespaces.values():
        link = there.with_address(address) if there.name and address is not None else None
        near = across(machine, there, link) if link is not None else None
        if link is not None and near is not None and near[1].master == bridge.name:
            return near[1], there, link
    return None


def not_behind(here: Namespace, bridge: Link, next_hop: str) -> Fault:
    """Why nobody behind a bridge takes a packet."""
    wanted = parse_address(next_hop)
    known = here.neighbour(bridge.name, wanted) if wanted is not None else None
    return fixes.nobody_behind(here, bridge.name, next_hop, known)


def owner(machines: Mapping[str, Machine], address: str, besides: Namespace) -> tuple[Namespace, Link] | None:
    """The machine that has an address in the underlay."""
    wanted = parse_address(address)
    for machine in machines.values():
        if machine.name != besides.machine and wanted is not None:
            for link in machine.own.links.values():
                if link.has(wanted) and link.kind != "bridge":
                    return machine.own, link
    return None


def unresolved(
    here: Namespace, link: Link, next_hop: str, there: Namespace
) -> tuple[Component, str, Fault] | None:
    """Why the next hop's MAC address is not known, so that nothing is sent; None where that is not so."""
    wanted = parse_address(next_hop)
    if wanted is None:
        return None
    known = here.neighbour(link.name, wanted)
    bridge = next((it for it in there.links.values() if it.kind == "bridge"), None)
    if here.name and bridge is not None and there.with_address(wanted) is None:
        fault = fixes.no_gateway(there, bridge, wanted, resolved=bool(known and known.mac))
        return Component.NEIGHBOUR, f"{next_hop}: nobody has it", fault
    if known is not None and not known.mac and known.state in ("FAILED", "INCOMPLETE"):
        return Component.NEIGHBOUR, f"{next_hop} {known.state}", fixes.no_answer(here, known)
    return None


def misdirected(
    here: Namespace, link: Link, next_hop: str, there: Namespace
) -> tuple[Component, str, Fault] | None:
    """Whether frames are sent to another MAC address than the next hop has."""
    wanted = parse_address(next_hop)
    known = here.neighbour(link.name, wanted) if wanted is not None else None
    if wanted is None or known is None:
        return None
    macs = sorted({it.mac for it in there.links.values() if it.has(wanted) and it.mac})
    if known.mac and macs and known.mac not in macs:
        return Component.NEIGHBOUR, f"{next_hop} at {known.mac}", fixes.other_mac(here, known, macs)
    return None
