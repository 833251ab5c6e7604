"""A packet's way through the machines, found from what they say of themselves. Pure.

At each step it is asked what the kernel would do: its routes by the kernel itself (`Ask`), all else from the
tables. Where something is broken, that is noted, and the way goes on behind it where it would have gone, so
that a second fault is found as well.
"""

from collections.abc import Mapping
from dataclasses import replace

from lab.packet_filter import Outcome, evaluate
from lab.trace import fixes
from lab.trace.machine import Link, Machine, Namespace
from lab.trace.model import Action, Component, Fault, Hop, Point, Reason, Step, Way
from lab.trace.neighbours import across, behind, misdirected, not_behind, owner, unresolved
from lab.trace.packet import Address, Packet, parse_address
from lab.trace.traffic_control import follow, shaping
from lab.trace.tunnels import TUNNELS, encapsulate, tunnel_of
from lab.trace.world import Answer, Ask, End, Overlay, Question

__all__ = ["walk"]

MOST = 64
"""Decisions that a way may have: more are a loop."""


class _Dead(Exception):
    """Where the packet would have gone can no longer be told."""


def walk(
    machines: Mapping[str, Machine], overlay: Overlay, packet: Packet, start: End, end: End, ask: Ask
) -> tuple[Way, Way]:
    """The way of a packet and that of its answer; of one that comes from nowhere in the lab, an empty one."""
    translations: dict[str, tuple[Address, Address]] = {}
    there = _Walk(machines, overlay, start, end, ask, translations).run(packet)
    answer = there.packet.answer()
    if not end.machine:
        return there, Way(answer)
    return there, _Walk(machines, overlay, end, start, ask, translations).run(answer)


class _Walk:
    """One packet, from its source to its destination."""

    def __init__(
        self,
        machines: Mapping[str, Machine],
        overlay: Overlay,
        start: End,
        end: End,
        ask: Ask,
        translations: dict[str, tuple[Address, Address]],
    ) -> None:
        self._machines = machines
        self._overlay = overlay
        self._start = start
        self._end = end
        self._ask = ask
        self._translations = translations
        """By machine: the source that it has given packets, and the one that they had."""
        self._steps: list[Step] = []
        self._arrived: Packet | None = None
        self._been: set[tuple[str, str, str, Address]] = set()

    def run(self, packet: Packet) -> Way:
        """The whole way."""
        try:
            self._leave(self._namespace(self._start.machine, self._start.namespace), packet)
        except _Dead:
            self._resume(packet)
        return Way(self._arrived or packet, tuple(self._steps))

    def _resume(self, packet: Packet) -> None:
        """Go on at the machine where it should arrive, as if it had come by the way of the answer."""
        if self._end.machine == self._start.machine or self._end.machine not in self._machines:
            return
        there = self._machines[self._end.machine].own
        back = self._ask(Question(there.machine, "", str(packet.source), "", ""))
        if back.error or back.local or back.device not in there.links:
            return
        try:
            self._arrive(there, back.device, packet)
        except _Dead:
            return

    # Where a packet is

    def _namespace(self, machine: str, name: str) -> Namespace:
        if machine not in self._machines or name not in self._machines[machine].namespaces:
            lab = next((it.own.lab for it in self._machines.values()), "")
            self._hop(machine, name, Component.LINK, "the machine", fixes.silent(machine, lab))
            raise _Dead
        return self._machines[machine].namespaces[name]

    def _hop(
        self,
        machine: str,
        namespace: str,
        component: Component,
        told: str,
        fault: Fault | None = None,
        action: Action | None = None,
        perhaps: tuple[str, ...] = (),
    ) -> None:
        if len(self._steps) > MOST:
            raise _Dead
        kills = fault is not None and fault.kills
        done = action or (Action.DROPPED if kills else Action.FORWARDED)
        self._steps.append(Hop(machine, namespace, component, told, fault, done, perhaps))

    def _at(
        self,
        here: Namespace,
        component: Component,
        told: str,
        fault: Fault | None = None,
        action: Action | None = None,
        perhaps: tuple[str, ...] = (),
    ) -> None:
        self._hop(here.machine, here.name, component, told, fault, action, perhaps)

    def _seen(self, here: Namespace, device: str, way: str, *, optional: bool = False) -> None:
        self._steps.append(Point(here.machine, here.name, device, way, optional))

    # A machine's own packets

    def _leave(self, here: Namespace, packet: Packet) -> None:
        """One that a socket of this namespace sends."""
        if packet.inner is None and here.with_address(packet.source) is None:
            self._at(here, Component.SOCKET, f"{packet.source}", fixes.no_address(here, packet.source))
        route = self._route(here, packet, "")
        self._filter(here, "output", packet, "", route.device)
        if route.local:
            self._deliver(here, "lo", packet)
        else:
            self._out(here, route, packet, "")

    def _route(self, here: Namespace, packet: Packet, into: str) -> Answer:
        """The kernel's decision."""
        source = str(packet.source) if into or here.with_address(packet.source) is not None else ""
        answer = self._ask(Question(here.machine, here.name, str(packet.destination), source, into))
        words = _route_words(answer, packet)
        ours = self._is_ours(here, packet)
        fault = fixes.of_route(here, answer, packet, into, ours) if answer.error else None
        if fault is not None and fault.reason in (Reason.NOT_FORWARDING, Reason.SOURCE_CHECK):
            # Routes there may be all the same: as one of the machine's own it shows.
            component = (
                Component.FORWARDING if fault.reason is Reason.NOT_FORWARDING else Component.SOURCE_CHECK
            )
            self._at(here, component, fault.found, fault)
            answer = self._ask(Question(here.machine, here.name, str(packet.destination), "", ""))
            words = _route_words(answer, packet)
            fault = fixes.of_route(here, answer, packet, "", ours) if answer.error else None
        home = self._home(here, packet)
        if home is not None and home.name != answer.device:
            self._at(here, Component.ROUTE, words, fixes.astray(here, home, answer, packet))
            return Answer(device=home.name)
        self._at(here, Component.ROUTE, words, fault)
        if answer.error:
            raise _Dead
        return answer

    def _is_ours(self, here: Namespace, packet: Packet) -> bool:
        """Whether the machine's flanneld should have made a route."""
        networks = [it for it in self._overlay.networks if packet.destination in it]
        return here.machine in self._overlay.members and not here.name and bool(networks)

    def _filter(self, here: Namespace, hook: str, packet: Packet, into: str, out: str) -> Outcome:
        """A hook of the firewall: everything that drops the packet, and what becomes of it without that."""
        rules, facts = here.ruleset, packet.facts(into, out, here.addresses)
        outcome = evaluate(rules, hook, facts)
        passes = outcome.passes
        while outcome.drop is not None:
            fault = fixes.of_rule(here, hook, outcome.drop, packet)
            self._at(here, Component.FIREWALL, f"{hook}: {outcome.drop.text}", fault)
            rules = rules.without(outcome.drop)
            outcome = evaluate(rules, hook, facts)
        if passes and (hook == "forward" or outcome.perhaps):
            perhaps = tuple(dict.fromkeys(it.text for it in outcome.perhaps))
            self._at(here, Component.FIREWALL, f"{hook}: accepted", perhaps=perhaps)
        return outcome

    # Out of a device

    def _out(self, here: Namespace, route: Answer, packet: Packet, into: str) -> None:
        """Through the device that the route names."""
        link = here.links.get(route.device)
        if link is None:
            self._at(here, Component.LINK, route.device, fixes.no_device(here, route.device))
            raise _Dead
        sent = packet
        outcome = self._filter(here, "postrouting", packet, into, link.name)
        if outcome.masquerades is not None:
            sent = self._translated(here, link, packet, outcome.masquerades.text)
        self._mtu(here, link, sent)
        if not link.up:
            self._at(here, Component.LINK, f"{link.name} is down", fixes.link_down(here, link.name))
        next_hop = route.via or str(sent.destination)
        if link.kind in TUNNELS:
            self._tunnelled(here, link, route, sent)
        else:
            self._ethernet(here, link, next_hop, sent)

    def _translated(self, here: Namespace, link: Link, packet: Packet, rule: str) -> Packet:
        """Masquerade: the source is the address that the kernel would take itself (RFC 3022)."""
        answer = self._ask(Question(here.machine, here.name, str(packet.destination), "", ""))
        own = next((it.ip for it in link.addresses if it.version == packet.family), None)
        new = parse_address(answer.source) if answer.source else own
        if new is None or new == packet.source:
            return packet
        self._translations[here.machine] = (new, packet.source)
        self._at(here, Component.NAT, f"{rule}: from {packet.source} to {new}")
        return replace(packet, source=new)

    def _mtu(self, here: Namespace, link: Link, packet: Packet) -> None:
        if packet.size > link.mtu:
            told = f"{link.name} takes {link.mtu} bytes"
            self._at(here, Component.MTU, told, fixes.too_big(here, link, packet))

    def _queued(self, here: Namespace, link: Link, packet: Packet, *, optional: bool = False) -> None:
        """Traffic control at a device's way out, and the device itself."""
        machine = self._machines[here.machine]
        detour = follow(machine, here, link.name, "egress", packet)
        if detour is not None:
            self._at(
                here, Component.TRAFFIC_CONTROL, " -> ".join(detour.steps),
                fixes.detour(here, link.name, "egress", detour),
            )  # fmt: skip
        queue = shaping(here, link.name)
        if queue is not None:
            self._at(here, Component.TRAFFIC_CONTROL, str(queue), fixes.shaped(here, link.name, queue))
        self._seen(here, link.name, "out", optional=optional)

    def _ethernet(self, here: Namespace, link: Link, next_hop: str, packet: Packet) -> None:
        """To a neighbour: on a bridge, behind a pair, or on the wire."""
        if link.kind == "bridge":
            self._bridged(here, link, next_hop, packet)
            return
        near = across(self._machines[here.machine], here, link)
        found = near or owner(self._machines, next_hop, here)
        if found is None:
            silent = self._overlay.silent.get(next_hop)
            gone = fixes.nobody(here, link.name, next_hop)
            fault = gone if silent is None else fixes.silent(silent, here.lab)
            self._at(here, Component.NEIGHBOUR, next_hop, fault)
            raise _Dead
        there, device = found
        bridge = there.links.get(device.master)
        switched = self._switched(there, bridge, next_hop)
        neighbour = switched[1] if switched is not None else there
        self._note(here, unresolved(here, link, next_hop, neighbour))
        self._queued(here, link, packet)
        self._note(here, misdirected(here, link, next_hop, neighbour))
        if near is None:
            self._at(here, Component.WIRE, f"{link.name} to {there.title} {device.name}")
        if bridge is None or switched is None:
            self._into(there, device, packet)
        else:
            self._seen(there, device.name, "in")
            self._through(there, bridge, switched, packet, device.name)

    def _switched(
        self, here: Namespace, bridge: Link | None, next_hop: str
    ) -> tuple[Link, Namespace, Link] | None:
        """Where a bridge sends on a frame that is for another port and not for its machine."""
        wanted = parse_address(next_hop)
        if bridge is None or wanted is None or here.with_address(wanted) is not None:
            return None
        return behind(self._machines[here.machine], bridge, wanted)

    def _through(
        self, here: Namespace, bridge: Link, found: tuple[Link, Namespace, Link], packet: Packet, into: str
    ) -> None:
        """From a port of a bridge to another: its machine's firewall sees that where it has been told to."""
        port, there, device = found
        if here.setting(f"bridge/bridge-nf-call-ip{'6' if packet.family == 6 else ''}tables") == 1:
            self._filter(here, "forward", packet, bridge.name, bridge.name)
        self._at(here, Component.BRIDGE, f"{bridge.name}, from port {into} to port {port.name}")
        if not port.up:
            self._at(here, Component.LINK, f"{port.name} is down", fixes.link_down(here, port.name))
        self._queued(here, port, packet)
        self._into(there, device, packet)

    def _bridged(self, here: Namespace, bridge: Link, next_hop: str, packet: Packet) -> None:
        """Out of a bridge, by the port behind which the neighbour is."""
        found = behind(self._machines[here.machine], bridge, parse_address(next_hop))
        if found is None:
            self._at(here, Component.BRIDGE, bridge.name, not_behind(here, bridge, next_hop))
            raise _Dead
        port, there, device = found
        self._note(here, unresolved(here, bridge, next_hop, there))
        self._queued(here, bridge, packet)
        self._note(here, misdirected(here, bridge, next_hop, there))
        self._at(here, Component.BRIDGE, f"{bridge.name}, port {port.name}")
        if not port.up:
            self._at(here, Component.LINK, f"{port.name} is down", fixes.link_down(here, port.name))
        self._queued(here, port, packet)
        self._into(there, device, packet)

    def _note(self, here: Namespace, noted: tuple[Component, str, Fault] | None) -> None:
        if noted is not None:
            self._at(here, *noted)

    def _tunnelled(self, here: Namespace, link: Link, route: Answer, packet: Packet) -> None:
        """Through a tunnel: what carries the packet is one of the machine's own."""
        machine = self._machines[here.machine]
        there = self._machines.get(self._end.machine)
        found = encapsulate(machine, link, route, packet, self._overlay, there, self._end.address)
        for noted in found.before:
            self._at(here, *noted)
        self._queued(here, link, packet, optional=link.kind == "tun")
        for noted in found.after:
            self._at(here, *noted)
        if found.outer is None:
            raise _Dead
        self._leave(here, found.outer)

    # Into a device

    def _into(self, here: Namespace, link: Link, packet: Packet) -> None:
        """As a device receives it."""
        if not link.up:
            self._at(here, Component.LINK, f"{link.name} is down", fixes.link_down(here, link.name))
        if link.xdp:
            self._at(here, Component.TRAFFIC_CONTROL, f"XDP {link.xdp}", fixes.xdp(here, link))
        self._seen(here, link.name, "in")
        detour = follow(self._machines[here.machine], here, link.name, "ingress", packet)
        if detour is not None:
            told = " -> ".join(detour.steps)
            self._at(here, Component.TRAFFIC_CONTROL, told, fixes.detour(here, link.name, "ingress", detour))
        if link.master and (bridge := here.links.get(link.master)) is not None:
            if not bridge.up:
                self._at(here, Component.LINK, f"{bridge.name} is down", fixes.link_down(here, bridge.name))
            self._at(here, Component.BRIDGE, f"{bridge.name}, port {link.name}")
            self._seen(here, bridge.name, "in")
            self._arrive(here, bridge.name, packet)
        else:
            self._arrive(here, link.name, packet)

    def _arrive(self, here: Namespace, device: str, packet: Packet) -> None:
        """As the network layer gets it: for this machine, or to be forwarded."""
        where = here.machine, here.name, device, packet.destination
        if where in self._been:
            self._at(here, Component.ROUTE, f"{packet.destination} again", fixes.in_circles(here, packet))
            raise _Dead
        self._been.add(where)
        outcome = self._filter(here, "prerouting", packet, device, "")
        if outcome.rewrites is not None and outcome.target:
            self._at(here, Component.NAT, f"{outcome.rewrites.text}: to {outcome.target}")
            packet = replace(packet, destination=parse_address(outcome.target) or packet.destination)
        known = self._translations.get(here.machine)
        if known and packet.answers and packet.inner is None and packet.destination == known[0]:
            self._at(here, Component.NAT, f"to {known[1]} again, from {known[0]}")
            packet = replace(packet, destination=known[1])
        route = self._route(here, packet, device)
        if route.local:
            self._deliver(here, device, packet)
            return
        if packet.family == 6 and here.setting("ipv6/conf/*/forwarding", "all") == 0:
            # Its route is told all the same: ip6_forward (net/ipv6/ip6_output.c) looks at this one.
            fault = fixes.not_forwarding(here, device, packet)
            self._at(here, Component.FORWARDING, fault.found, fault)
        self._filter(here, "forward", packet, device, route.device)
        self._out(here, route, packet, device)

    def _home(self, here: Namespace, packet: Packet) -> Link | None:
        """The bridge of this machine behind which the packet's destination is."""
        if packet.inner is not None or here.name or here.machine != self._end.machine:
            return None
        machine = self._machines[here.machine]
        for there in machine.namespaces.values():
            link = there.with_address(packet.destination) if there.name else None
            near = across(machine, there, link) if link is not None else None
            if near is not None and near[1].master in here.links:
                return here.links[near[1].master]
        return None

    def _deliver(self, here: Namespace, device: str, packet: Packet) -> None:
        """To a socket, or out of its tunnel."""
        if device != "lo":
            self._filter(here, "input", packet, device, "")
        if packet.inner is not None:
            self._decapsulated(here, packet, packet.inner)
            return
        self._arrived = packet
        fault = None if packet.answers else fixes.of_socket(here, packet)
        self._at(here, Component.SOCKET, f"{packet.protocol} {packet.destination}"
                 + (f":{packet.port}" if packet.port else ""), fault,
                 None if fault else Action.DELIVERED)  # fmt: skip

    def _decapsulated(self, here: Namespace, outer: Packet, inner: Packet) -> None:
        tunnel = tunnel_of(self._machines[here.machine], outer)
        if tunnel is None:
            self._at(
                here, Component.DECAPSULATION, f"nothing takes {outer.protocol} {outer.port}",
                fixes.nothing_decapsulates(here, outer),
            )  # fmt: skip
            raise _Dead
        if not tunnel.up:
            self._at(here, Component.LINK, f"{tunnel.name} is down", fixes.link_down(here, tunnel.name))
        holder = self._machines[here.machine].holders.get(tunnel.name)
        if tunnel.kind == "tun" and holder is not None and holder.stands_still:
            fault = fixes.no_daemon(here, tunnel.name, holder)
            self._at(here, Component.DECAPSULATION, f"{tunnel.name}: {holder.name} stands still", fault)
        else:
            told = f"{tunnel.name}, from {outer.source}"
            self._at(here, Component.DECAPSULATION, told, self._stranger(here, outer, inner))
        self._seen(here, tunnel.name, "in", optional=True)
        self._arrive(here, tunnel.name, inner)

    def _stranger(self, here: Namespace, outer: Packet, inner: Packet) -> Fault | None:
        """Whether what carries a packet comes from another address than the lease of its source names."""
        lease = next((it for it in self._overlay.leases if inner.source in it.subnet), None)
        if lease is None or lease.address == outer.source:
            return None
        return fixes.stranger(here, lease.subnet, lease.address, outer, self._start.machine)


def _route_words(answer: Answer, packet: Packet) -> str:
    if answer.error:
        return f"{packet.destination}: {answer.error}"
    if answer.local:
        return f"{packet.destination} is its own"
    via = f" via {answer.via}" if answer.via else ""
    return f"{packet.destination}{via} dev {answer.device}"
