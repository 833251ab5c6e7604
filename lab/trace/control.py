"""A trace from beginning to end: probes are sent and watched, then the machines are asked, then judged."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Literal

from lab import threads
from lab.deadlines import LOOK
from lab.errors import LabError, Unfit
from lab.naming import name_option
from lab.observe import Observation, Silent, Topic, observe
from lab.packet_filter import COMMANDS
from lab.protocols import LabAccess
from lab.suggest import suggest
from lab.trace.asked import Asked
from lab.trace.ends import Container, Known, as_sent, find_end
from lab.trace.evidence import evidence
from lab.trace.gather import asking
from lab.trace.machine import Machine
from lab.trace.model import Way
from lab.trace.packet import Packet
from lab.trace.probing import Heard, Probing
from lab.trace.verdict import Trace, diagnose, doubtful, is_explained, words_of
from lab.trace.walk import walk
from lab.trace.witness import Kernel, of_reasons, of_rules
from lab.trace.world import End, Lease, Overlay

__all__ = ["trace"]

PUBLIC: Mapping[Literal[4, 6], str] = {4: "PublicIP", 6: "PublicIPv6"}
"""The keys of a lease that name its machine."""


def trace(lab: LabAccess, asked: Asked) -> tuple[End, End, Trace]:
    """How packets get from end to end and back, and where they do not. Raises `LabError`."""
    observing = threads.start(lambda: observe(lab, _topics(lab), within=LOOK.seconds))
    with asking(lab) as machines:
        seen = observing.result()
        known = _known(lab, seen, asked)
        start = find_end(asked.source, known, asked.family)
        end = find_end(asked.destination, known, start.address.version)
        if not start.machine:
            raise Unfit(
                f"{asked.source} is in no machine of this lab", hint="a trace begins at a pod or machine"
            )
        if start.machine in machines.silent:
            raise LabError(f"{start.machine}: {machines.silent[start.machine]}", hint="see: lab status")
        if asked.source == start.machine:
            start = as_sent(start, end, machines.route)
        probing = Probing(machines, known, start, end, asked)
        return start, end, _Tracing(lab, seen, probing).trace()


@dataclass(frozen=True, slots=True)
class _Tracing:
    """Probes, tables, a judgement; and a second look where the first one leaves doubt."""

    lab: LabAccess
    seen: Observation
    probing: Probing

    def trace(self) -> Trace:
        """Do it."""
        heard = self.probing.first()
        tables = self._tables()
        first = self._judge(heard, tables)
        gap = doubtful(first)
        if gap is None:
            return first
        heard, found = self._again(heard, tables)
        late = doubtful(found)
        if late is not None and late.is_mended:  # in the midst of this round, as the next one shows
            gap, (heard, found) = late, self._again(heard, self._tables())
        if not found.delivered:
            unheard = heard.followed.notes if heard.followed is not None else ()
            return found if is_explained(found) else replace(found, notes=(*found.notes, *unheard))
        if gap.is_the_end or gap.is_mended:
            note = f"in a round before {words_of(gap)}, which has been put right since"
            return replace(found, notes=(note, *found.notes))
        return replace(first, notes=(*first.notes, "in a second round no probe was lost"))

    def _again(self, before: Heard, tables: Mapping[str, Machine]) -> tuple[Heard, Trace]:
        """Another round, in which the kernels tell; and the tables once more where these explain nothing."""
        heard = self.probing.again(before, tables)
        found = self._judge(heard, tables)
        if is_explained(found) and not found.delivered:
            return heard, found
        # What a daemon puts right, it puts right while the machines are asked for their tables.
        return heard, self._judge(heard, self._tables())

    def _tables(self) -> Mapping[str, Machine]:
        return self.probing.machines.state(self.probing.inside)

    def _judge(self, heard: Heard, tables: Mapping[str, Machine]) -> Trace:
        machines, start, end = self.probing.machines, self.probing.start, self.probing.end
        asked, sent, arrived = self.probing.asked, heard.probes, heard.arrived
        from_port = heard.from_port if asked.protocol != "icmp" else 0
        packet = Packet(start.address, end.address, asked.protocol, sent.largest, asked.port, from_port)
        there, back = walk(tables, self._overlay(), packet, start, end, machines.route)
        clocks = {name: machine.boot for name, machine in tables.items()}
        probed = [it for it in heard.sightings if it.kind == "probe"]
        answers = [it for it in heard.sightings if it.kind == "answer"]
        is_udp = asked.protocol == "udp"  # who takes a datagram need not answer
        ways = (
            evidence(there, probed, sent.sizes.keys(), arrived, clocks),
            evidence(
                back, answers, sent.answered.keys() if is_udp else arrived, sent.answered.keys(), clocks
            ),
        )
        taken = arrived if is_udp else frozenset()
        notes = _notes(tables, machines.silent)
        kernel = _kernel(heard, tables, there, back)
        return diagnose(there, back, sent, ways, notes, taken, name_option(self.lab.spec.name), kernel)

    def _overlay(self) -> Overlay:
        machines, known = self.probing.machines, self.probing.known
        silent = {str(it): name for name in machines.silent for it in known.machines.get(name, ())}
        return replace(_overlay(self.lab, self.seen), silent=silent)


def _topics(lab: LabAccess) -> frozenset[Topic]:
    return frozenset({Topic.PODS, Topic.LEASES} if lab.spec.running("etcd") else {Topic.PODS})


def _known(lab: LabAccess, seen: Observation, asked: Asked) -> Known:
    machines = {name: _addresses(node) for name, node in seen.nodes.items()}
    containers = []
    for word in (asked.source, asked.destination):
        machine, slash, name = word.partition("/")
        if slash and machine in lab.nodes:
            containers.append(_container(lab, machine, name))
    silent = {name: node.pods.reason for name, node in seen.nodes.items() if isinstance(node.pods, Silent)}
    return Known(machines, seen.pods, containers, silent)


def _addresses(node: Any) -> Sequence[Any]:
    return [it for it in (node.address, node.address6) if it is not None]


INSPECT = ["docker", "inspect", "--type", "container", "--format", "{{json .}}", "--"]


def _container(lab: LabAccess, machine: str, name: str) -> Container:
    """One that is no pod's. Raises `LabError`."""
    done = lab.node(machine).run([*INSPECT, name], check=False, within=LOOK.seconds)
    if done.exit_code != 0:
        listed = lab.node(machine).run(
            ["docker", "ps", "--format", "{{.Names}}"], check=False, within=LOOK.seconds
        )
        if listed.exit_code != 0:
            raise Unfit(f"{machine} has no container {name}", hint=listed.output.strip())
        maybe = suggest(name, sorted(listed.text.split()), "it has")
        raise Unfit(f"{machine} has no container {name}{maybe}")
    told = json.loads(done.text)
    networks = told["NetworkSettings"]["Networks"].values()
    words = [it.get(key) for it in networks for key in ("IPAddress", "GlobalIPv6Address")]
    if not told["State"]["Pid"]:
        raise LabError(f"the container {name} on {machine} does not run: it is {told['State']['Status']}")
    return Container(name, machine, told["State"]["Pid"], tuple(ip_address(word) for word in words if word))


def _overlay(lab: LabAccess, seen: Observation) -> Overlay:
    leases = seen.leases
    found = [
        Lease(subnet, ip_address(public))
        for lease in leases or ()
        for family, key in PUBLIC.items()
        if (subnet := lease.of(family)) is not None and (public := _public(lease.value, key))
    ]
    return Overlay(
        tuple(found),
        leases_known=leases is not None,
        port=lab.spec.tunnel_port or 0,
        networks=tuple(lab.spec.networks.values()),
        members=frozenset(node.name for node in lab.spec.running("flanneld")),
    )


def _public(value: str, key: str) -> str:
    try:
        found = json.loads(value).get(key)
    except (ValueError, AttributeError):
        return ""
    return str(found) if found else ""


def _notes(tables: Mapping[str, Machine], silent: Mapping[str, str]) -> tuple[str, ...]:
    unread = [
        f"{space.title}: {table} could not be read: {why}"
        for machine in tables.values()
        for space in machine.namespaces.values()
        for table, why in space.missing.items()
        if table not in COMMANDS or table == "nft"  # the others name rules, and decide little
    ]
    return tuple(unread + [f"{name} does not answer: {why}" for name, why in silent.items()])


def _kernel(heard: Heard, tables: Mapping[str, Machine], there: Way, back: Way) -> Kernel:
    if heard.followed is None:
        return Kernel()
    spaces = {(name, inside) for name, machine in tables.items() for inside in machine.namespaces}
    rules = tuple(of_rules(heard.ended, tables, there, back))
    return Kernel(rules, frozenset(spaces - heard.followed.rules.keys()), of_reasons(heard.dropped, tables))
