"""What is wrong at a hop: what was expected, what there is, why packets die of it, and what mends it. Pure.

Nothing here knows of the lab's own faults: a rule is a rule, whoever made it.
"""

import shlex
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING

from lab.packet_filter import Drop
from lab.trace.machine import Holder, Link, Namespace, Neighbour, Qdisc
from lab.trace.model import Fault, Reason
from lab.trace.packet import Address, Packet

if TYPE_CHECKING:
    from lab.trace.traffic_control import Detour
    from lab.trace.world import Answer

__all__ = [
    "astray",
    "detour",
    "in_circles",
    "link_down",
    "no_address",
    "no_answer",
    "no_daemon",
    "no_device",
    "no_fdb",
    "no_gateway",
    "no_lease",
    "no_neighbour",
    "nobody",
    "nobody_behind",
    "not_forwarding",
    "nothing_decapsulates",
    "of_route",
    "of_rule",
    "of_socket",
    "other_mac",
    "shaped",
    "silent",
    "stranger",
    "too_big",
    "wrong_lease",
    "xdp",
]


def on(here: Namespace, *argv: str) -> str:
    """A command to paste: on a machine, or for a container's network from its machine."""
    words = shlex.join(argv)
    if here.name:
        return f"lab exec{here.lab} {here.machine} -- nsenter -t {here.pid} -n {words}"
    return f"lab exec{here.lab} {here.machine} -- {words}"


def silent(machine: str, lab: str) -> Fault:
    """Nothing is known of a machine."""
    look = f"lab status{lab}  # then: lab logs{lab} {machine}"
    return Fault(Reason.SILENT_MACHINE, f"an answer of {machine}", "none", "nothing is known of it", look)


def restart_daemon(here: Namespace) -> str:
    """What has flanneld put right what is its own."""
    return on(here, "systemctl", "restart", "flanneld")


def no_address(here: Namespace, wanted: Address) -> Fault:
    """The source is not one of the namespace's own addresses."""
    own = [str(it.ip) for link in here.links.values() for it in link.addresses if not it.ip.is_loopback]
    return Fault(
        Reason.WRONG_ADDRESS,
        f"{wanted} on a device of {here.title}",
        ", ".join(own) or "no address",
        "what is sent from another address has no answer",
        on(here, "ip", "address"),
    )


def not_forwarding(here: Namespace, into: str, packet: Packet) -> Fault:
    """The kernel drops what is not for itself."""
    sysctl = "net.ipv4.ip_forward" if packet.family == 4 else "net.ipv6.conf.all.forwarding"
    return Fault(
        Reason.NOT_FORWARDING,
        f"{sysctl} = 1",
        f"{sysctl} = 0 ({into})",
        f"{here.title} drops what is not for itself",
        on(here, "sysctl", "-w", f"{sysctl}=1"),
    )


def of_route(here: Namespace, answer: "Answer", packet: Packet, into: str, ours: bool) -> Fault:
    """The kernel finds no route, or refuses the packet."""
    if into and here.setting("ipv4/conf/*/forwarding", into) == 0 and packet.family == 4:
        return not_forwarding(here, into, packet)
    if into and answer.error in ("Invalid cross-device link", "Invalid argument"):
        mode = max(here.setting("ipv4/conf/*/rp_filter", name) or 0 for name in ("all", into))
        return Fault(
            Reason.SOURCE_CHECK,
            f"a route to {packet.source} through {into}" if mode == 1 else f"a route to {packet.source}",
            f"rp_filter = {mode} on {into}; {answer.error}",
            "the kernel drops packets that come by another way than it would answer them by",
            on(here, "sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done"),
        )
    for link in here.links.values():
        if not link.up and any(packet.destination in own.network for own in link.addresses):
            return link_down(here, link.name)
    return Fault(
        Reason.NO_ROUTE,
        f"a route to {packet.destination}",
        answer.error,
        f"{here.title} does not know where {packet.destination} is",
        restart_daemon(here) if ours else on(here, "ip", "route"),
    )


def astray(here: Namespace, bridge: Link, answer: "Answer", packet: Packet) -> Fault:
    """What is for a container is sent elsewhere: the bridge is down, or has no address of its subnet."""
    if not bridge.up:
        return link_down(here, bridge.name)
    own = ", ".join(str(it) for it in bridge.addresses if it.version == packet.family) or "no address"
    way = answer.error or f"dev {answer.device}"
    return Fault(
        Reason.WRONG_ROUTE,
        f"{packet.destination} dev {bridge.name}",
        f"{packet.destination}: {way}; {bridge.name} has {own}",
        f"{here.title} does not give it to the container behind {bridge.name} that it is for",
        on(here, "systemctl", "restart", "docker"),
    )


def stranger(
    here: Namespace,
    subnet: IPv4Network | IPv6Network,
    leased: Address,
    outer: Packet,
    sender: str,
) -> Fault:
    """A peer sends from another address than its lease names."""
    return Fault(
        Reason.SOURCE_CHECK,
        f"what is of {subnet} to come from {leased}, as its lease says",
        f"it comes from {outer.source}",
        f"a flanneld that checks its peers, as this project's does, drops it on {here.title}",
        f"lab exec{here.lab} {sender} -- systemctl restart flanneld",
        kills=False,
    )


def in_circles(here: Namespace, packet: Packet) -> Fault:
    """A packet comes where it has been."""
    return Fault(
        Reason.WRONG_ROUTE,
        f"a way to {packet.destination} without a circle",
        f"{here.title} gets it again",
        "it goes in circles until its TTL has come to an end",
        on(here, "ip", "route", "get", str(packet.destination)),
    )


def of_rule(here: Namespace, hook: str, drop: Drop, what: object, how: str = "drops") -> Fault:
    """A rule of the firewall drops a packet, or a chain's policy does."""
    return Fault(
        Reason.FW_RULE,
        f"{what} to be accepted",
        f"{drop.text} in chain {drop.chain.title}",
        f"the firewall of {here.title} {how} it at the hook {hook}",
        on(here, *drop.fix),
    )


def no_device(here: Namespace, device: str) -> Fault:
    """A route leads to a device that is gone."""
    return Fault(
        Reason.NO_DEVICE, f"a device {device}", "none", "there is nothing to send by", restart_daemon(here)
    )


def link_down(here: Namespace, device: str) -> Fault:
    """A device is down."""
    return Fault(
        Reason.LINK_DOWN,
        f"{device} up",
        f"{device} down",
        "a device that is down neither sends nor receives, and the kernel has no routes through it",
        on(here, "ip", "link", "set", "dev", device, "up"),
    )


def too_big(here: Namespace, link: Link, packet: Packet) -> Fault:
    """Packets of the largest size do not pass."""
    limit = link.mtu
    return Fault(
        Reason.MTU,
        f"{packet.size} bytes to pass, as the sender's device lets it send them",
        f"{link.name} has MTU {limit}",
        f"packets above {limit} bytes are dropped, or cut where their sender allows that; what asks whether "
        f"they pass (RFC 1191) is told {limit}",
        on(here, "ip", "link", "set", "dev", link.name, "mtu", str(packet.size)),
        kills=False,
        large_only=True,
    )


def detour(here: Namespace, device: str, place: str, found: "Detour") -> Fault:
    """Filters take packets off their device."""
    where = "their way out of" if place == "egress" else "their way into"
    through = " -> ".join(found.steps) or "nowhere"
    return Fault(
        Reason.TRAFFIC_CONTROL,
        f"no filter that takes packets off {device}",
        f"a filter at {place} redirects them: {through}" + (f"; {found.ends}" if found.ends else ""),
        f"on {where} {device} packets are taken elsewhere, "
        + ("and do not come back" if found.ends else "where they may be late, lost, doubled or changed"),
        on(here, "tc", "filter", "show", "dev", device, place),
        kills=bool(found.ends),
    )


def shaped(here: Namespace, device: str, queue: Qdisc) -> Fault:
    """A queueing discipline does more than to queue."""
    return Fault(
        Reason.TRAFFIC_CONTROL,
        f"a queueing discipline of {device} that only queues",
        str(queue),
        "packets are late, lost, doubled, changed, or fewer than are sent",
        on(here, "tc", "qdisc", "delete", "dev", device, "root"),
        kills=False,
    )


def xdp(here: Namespace, link: Link) -> Fault:
    """A program looks at every packet before the kernel does."""
    return Fault(
        Reason.TRAFFIC_CONTROL,
        f"no XDP program on {link.name}",
        f"XDP program {link.xdp} on {link.name}",
        "it may drop or redirect what comes in, before any firewall sees it",
        on(here, "ip", "-details", "link", "show", "dev", link.name),
        kills=False,
    )


def nobody(here: Namespace, device: str, next_hop: str) -> Fault:
    """No machine of the lab has the next hop's address."""
    return Fault(
        Reason.ARP_FAIL,
        f"a machine that has {next_hop}",
        "none has",
        f"nobody on the segment of {device} answers for {next_hop}",
        on(here, "ip", "neighbour", "show", "dev", device),
    )


def nobody_behind(here: Namespace, bridge: str, next_hop: str, known: Neighbour | None) -> Fault:
    """No container behind a bridge has the address."""
    state = f"neighbour {known.state} {known.mac}".rstrip() if known is not None else "no neighbour"
    return Fault(
        Reason.ARP_FAIL,
        f"a container behind {bridge} that has {next_hop}",
        state,
        f"nobody behind {bridge} answers for {next_hop}",
        on(here, "ip", "neighbour", "show", "dev", bridge),
    )


def no_answer(here: Namespace, known: Neighbour) -> Fault:
    """Address resolution has failed."""
    return Fault(
        Reason.ARP_FAIL,
        f"{known.address} to answer on {known.device}",
        known.state,
        "who has the address does not answer (ARP, or neighbour discovery)",
        on(here, "ip", "neighbour", "show", "dev", known.device),
    )


def no_gateway(there: Namespace, bridge: Link, wanted: Address, *, resolved: bool) -> Fault:
    """A container's gateway is an address that its machine does not have."""
    own = ", ".join(str(it) for it in bridge.addresses if it.version == wanted.version) or "no address"
    return Fault(
        Reason.WRONG_ADDRESS,
        f"{bridge.name} of {there.title} to have {wanted}, the container's gateway",
        f"{bridge.name} has {own}",
        "nobody answers when the container asks for its gateway's MAC address",
        on(there, "systemctl", "restart", "docker"),
        kills=not resolved,
    )


def other_mac(here: Namespace, known: Neighbour, macs: list[str]) -> Fault:
    """The neighbour's MAC address has changed."""
    return Fault(
        Reason.ARP_FAIL,
        f"{known.address} at {' or '.join(macs)}",
        f"{known.mac} ({known.state})",
        "frames go to a MAC address that nobody has any more",
        on(here, "ip", "neighbour", "flush", "to", known.address, "dev", known.device),
    )


def no_neighbour(here: Namespace, device: str, next_hop: str) -> Fault:
    """vxlan: which MAC address the peer's device has is not known."""
    return Fault(
        Reason.ARP_FAIL,
        f"a neighbour {next_hop} on {device}, which flanneld enters",
        "none",
        "without its MAC address the kernel sends it nothing",
        restart_daemon(here),
    )


def no_fdb(here: Namespace, device: str, mac: str) -> Fault:
    """vxlan: which machine a MAC address is behind is not known."""
    return Fault(
        Reason.FDB_MISS,
        f"an FDB entry of {mac} on {device}, which flanneld enters",
        "none",
        "the kernel does not know which machine the datagram is for",
        restart_daemon(here),
    )


def no_lease(here: Namespace, packet: Packet, networks: tuple[IPv4Network | IPv6Network, ...]) -> Fault:
    """etcd has no lease for the destination."""
    outside = bool(networks) and not any(packet.destination in it for it in networks)
    overlay = " and ".join(map(str, networks))
    return Fault(
        Reason.NO_LEASE,
        f"a lease in etcd that has {packet.destination}",
        f"{packet.destination} is not in the overlay's {overlay}" if outside else "none",
        "no flanneld knows which machine it is behind",
        f"lab status{here.lab}  # which machine should have it? There: systemctl restart flanneld",
    )


def wrong_lease(here: Namespace, subnet: IPv4Network | IPv6Network, there: Address, machine: str) -> Fault:
    """The lease names an address that the machine does not have."""
    return Fault(
        Reason.WRONG_ADDRESS,
        f"a lease {subnet} with an address of {machine}",
        f"{there}",
        f"what is for {machine} goes to {there}",
        f"lab exec{here.lab} {machine} -- systemctl restart flanneld",
    )


def no_daemon(here: Namespace, device: str, holder: Holder | None) -> Fault:
    """udp: no process takes packets out of the device."""
    if holder is None:
        found, fix = f"no process holds {device}", restart_daemon(here)
    else:
        found = f"{holder.name} ({holder.pid}) is stopped (state {holder.state})"
        fix = on(here, "kill", "-CONT", str(holder.pid))
    return Fault(
        Reason.NO_DAEMON,
        f"a daemon that reads {device}",
        found,
        "packets wait in the device until its queue is full, and then are dropped",
        fix,
        kills=holder is None,
    )


def nothing_decapsulates(here: Namespace, outer: Packet) -> Fault:
    """Nothing takes the inner packet out."""
    return Fault(
        Reason.NO_LISTENER,
        f"a device or a daemon for {outer.protocol} port {outer.port}",
        "none",
        f"{here.title} has nothing that takes packets out of the tunnel",
        restart_daemon(here),
    )


def of_socket(here: Namespace, packet: Packet) -> Fault | None:
    """Nobody listens; None where somebody does, or need not."""
    if packet.protocol == "icmp":
        ignores = "ipv4/icmp_echo_ignore_all" if packet.family == 4 else "ipv6/icmp/echo_ignore_all"
        if here.setting(ignores) == 1:
            name = f"net.{ignores.replace('/', '.')}"
            return Fault(
                Reason.NO_LISTENER,
                f"{name} = 0",
                f"{name} = 1",
                "the kernel answers no echo request",
                on(here, "sysctl", "-w", f"{name}=0"),
            )
        return None
    wild = {"0.0.0.0", "::"}  # noqa: S104 - what /proc/net shows
    there = [it for it in here.listeners if it.protocol == packet.protocol and it.port == packet.port]
    if any(
        it.address in wild or it.address.removeprefix("::ffff:") == str(packet.destination) for it in there
    ):
        return None
    own = sorted({it.port for it in here.listeners if it.protocol == packet.protocol})
    return Fault(
        Reason.NO_LISTENER,
        f"a socket that listens on {packet.protocol} port {packet.port} of {packet.destination}",
        f"it listens on {', '.join(f'{it.address}' for it in there)} alone" if there
        else f"{packet.protocol} ports that listen: {', '.join(map(str, own)) or 'none'}",
        "the packet arrives, and is refused",
        on(here, "cat", f"/proc/net/{packet.protocol}"),
        kills=False,
    )  # fmt: skip
