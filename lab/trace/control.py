"""A trace from beginning to end: probes are sent and watched, then the machines are asked, then judged."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Literal

from lab import threads
from lab.deadlines import LOOK, patience
from lab.errors import LabError, Unfit
from lab.naming import name_option
from lab.observe import Observation, Silent, Topic, observe
from lab.packet_filter import COMMANDS
from lab.protocols import LabAccess
from lab.suggest import suggest
from lab.trace.asked import Asked
from lab.trace.ends import Container, Known, find_end
from lab.trace.evidence import Probes, evidence
from lab.trace.gather import Machines, asking
from lab.trace.machine import Machine
from lab.trace.marks import Marks, Sighting
from lab.trace.packet import HEADER, Packet
from lab.trace.verdict import Trace, diagnose, unexplained
from lab.trace.walk import walk
from lab.trace.world import End, Lease, Overlay

__all__ = ["trace"]

LARGEST = 65535

LARGE = 4
"""Probes of the largest size besides."""

SMALL = {"icmp": 84, "udp": 84, "tcp": 0}
"""Bytes of an ordinary probe: ping's; of a segment without data (0: its headers alone)."""

INTERVAL = 0.01
"""Seconds between two probes."""

ANSWER = 2.0
"""Seconds for the last answer, on an ordinary machine."""

FROM_PORT = 61000
"""Above what the kernel gives by itself (net.ipv4.ip_local_port_range): an answer is for nobody else."""

UNREACHABLE: Mapping[tuple[int, int], str] = {
    (3, 0): "net unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 9): "administratively prohibited",
    (3, 10): "administratively prohibited",
    (3, 13): "administratively prohibited",
    (11, 0): "TTL exceeded",
    (11, 1): "reassembly time exceeded",
}
"""By type and code: RFC 792, RFC 1812."""

UNREACHABLE6: Mapping[tuple[int, int], str] = {
    (1, 0): "no route",
    (1, 1): "administratively prohibited",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (2, 0): "packet too big",
    (3, 0): "hop limit exceeded",
}
"""RFC 4443."""


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
        round_ = _Round(lab, machines, seen, known, start, end, asked)
        found = round_.trace()
        if (lost := unexplained(found)) is None:
            return start, end, found
        # What a daemon puts right, it puts right while the machines are asked for their tables.
        again = round_.trace()
        if unexplained(again) is not None:
            return start, end, again
        note = f"in a first round {lost}, which has been put right since"
        return start, end, replace(again, notes=(note, *again.notes))


@dataclass(frozen=True, slots=True)
class _Round:
    """Probes, tables, a judgement: what a trace does once, and sometimes twice."""

    lab: LabAccess
    machines: Machines
    seen: Observation
    known: Known
    start: End
    end: End
    asked: Asked

    def _overlay(self) -> Overlay:
        silent = {str(it): name for name in self.machines.silent for it in self.known.machines.get(name, ())}
        return replace(_overlay(self.lab, self.seen), silent=silent)

    def trace(self) -> Trace:
        """Do it."""
        asked, start, end = self.asked, self.start, self.end
        inside = _inside(self.known, start, end)
        sent, sightings = _probe(self.machines, self.known, start, end, inside, asked)
        tables = self.machines.state(inside)
        from_port = FROM_PORT if asked.protocol != "icmp" else 0
        packet = Packet(start.address, end.address, asked.protocol, sent.largest, asked.port, from_port)
        there, back = walk(tables, self._overlay(), packet, start, end, self.machines.route)
        arrived = _arrived(sent, sightings, end, asked)
        clocks = {name: machine.boot for name, machine in tables.items()}
        probed = [it for it in sightings if it.kind == "probe"]
        answers = [it for it in sightings if it.kind == "answer"]
        ways = (
            evidence(there, probed, sent.sizes.keys(), arrived, clocks),
            evidence(back, answers, arrived, sent.answered.keys(), clocks),
        )
        taken = arrived if asked.protocol == "udp" else frozenset()
        notes = _notes(tables, self.machines.silent)
        return diagnose(there, back, sent, ways, notes, taken, name_option(self.lab.spec.name))


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


def _inside(known: Known, *ends: End) -> Mapping[str, Mapping[str, int]]:
    """The containers whose namespaces matter, by machine: a process in each."""
    found: dict[str, dict[str, int]] = {}
    for end in ends:
        if end.namespace:
            found.setdefault(end.machine, {})[end.namespace] = known.process(end)
    return found


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


def _probe(
    machines: Machines,
    known: Known,
    start: End,
    end: End,
    inside: Mapping[str, Mapping[str, int]],
    asked: Asked,
) -> tuple[Probes, Sequence[Sighting]]:
    """Send the probes; what came of them, and where they were seen."""
    sizes = _sizes(machines, known, start, end, asked)
    family: Literal[4, 6] = end.address.version
    headers = HEADER[family] + (20 if asked.protocol == "tcp" else 8)
    marks = Marks(secrets.randbits(32) | 1 << 31, asked.protocol, family, FROM_PORT, max(sizes) - headers)
    machines.watch(inside, marks)
    told = machines.send(
        start.machine,
        known.process(start),
        {
            "protocol": asked.protocol, "to": str(end.address), "source": str(start.address),
            "port": asked.port, "fromPort": FROM_PORT, "mark": marks.mark, "sizes": sizes,
            "interval": INTERVAL, "patience": ANSWER * patience(),
        },
    )  # fmt: skip
    probes = Probes(
        sizes={number: sizes[number] for number in told["sent"]},
        answered={int(number): seconds for number, seconds in told["answered"].items()},
        refused={int(number): why for number, why in told["refused"].items()},
        errors=tuple((item["number"], _error(item, family)) for item in told["errors"]),
        kinds={int(number): kind for number, kind in told["kinds"].items()},
    )
    return probes, machines.seen(marks)


def _sizes(machines: Machines, known: Known, start: End, end: End, asked: Asked) -> list[int]:
    """Bytes of each probe."""
    headers = HEADER[end.address.version] + (20 if asked.protocol == "tcp" else 8)
    if asked.size:
        if asked.size < headers + 6:
            raise Unfit(f"--size {asked.size}: a probe has at least {headers + 6} bytes")
        return [asked.size] * asked.count
    # A device may take more than a packet can have (lo: 65536; an IPv4 packet's length is of 16 bits).
    mtu = min(machines.mtu(start.machine, known.process(start), str(end.address)), LARGEST)
    small = max(headers, SMALL[asked.protocol])
    return [small] * asked.count + [mtu] * (LARGE if mtu > small else 0)


def _error(item: Mapping[str, Any], family: int) -> str:
    words = (UNREACHABLE if family == 4 else UNREACHABLE6).get((item["type"], item["code"]))
    told = words or f"type {item['type']} code {item['code']}"
    is_mtu = (item["type"], item["code"]) == ((3, 4) if family == 4 else (2, 0))
    return f"{item['from']} says: {told}" + (f" (MTU {item['mtu']})" if is_mtu else "")


def _arrived(sent: Probes, sightings: Sequence[Sighting], end: End, asked: Asked) -> frozenset[int]:
    """The probes that their destination has acted on: those that it answered, whether or not that came back.

    Of a destination outside of the lab nothing can be seen but its answers.
    """
    answers = {
        it.number
        for it in sightings
        if it.kind == "answer" and (it.machine == end.machine or not end.machine)
    }
    if asked.protocol == "udp":  # who gets a datagram need not answer
        there = (end.machine, end.namespace, "in")
        answers |= {
            it.number for it in sightings if (it.machine, it.namespace, it.way) == there and it.outer is None
        }
    closed = {number for number, kind in sent.kinds.items() if kind == "closed"}
    return frozenset(answers | set(sent.answered) | closed)


def _notes(tables: Mapping[str, Machine], silent: Mapping[str, str]) -> tuple[str, ...]:
    unread = [
        f"{space.title}: {table} could not be read: {why}"
        for machine in tables.values()
        for space in machine.namespaces.values()
        for table, why in space.missing.items()
        if table not in COMMANDS or table == "nft"  # the others name rules, and decide little
    ]
    return tuple(unread + [f"{name} does not answer: {why}" for name, why in silent.items()])
