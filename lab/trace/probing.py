"""Probes: how many, how large, sent and watched; what came of them."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lab.deadlines import patience
from lab.errors import Unfit
from lab.trace.asked import Asked
from lab.trace.drop_reasons import Dropped
from lab.trace.ends import Known
from lab.trace.evidence import Probes
from lab.trace.gather import Followed, Machines
from lab.trace.machine import Machine
from lab.trace.marks import Marks, Sighting
from lab.trace.packet import HEADER
from lab.trace.rule_trace import Ended
from lab.trace.world import End

__all__ = ["Heard", "Probing"]

LARGEST = 65535

LARGE = 4
"""Probes of the largest size besides."""

SMALL = {"icmp": 84, "udp": 84, "tcp": 0}
"""Bytes of an ordinary probe: ping's; of a segment without data (0: its headers alone)."""

INTERVAL = 0.01
"""Seconds between two probes."""

ANSWER = 1.2
"""Seconds for the last answer, on an ordinary machine."""

AGAIN = 0.5
"""Likewise when it is known how long answers take: at least."""

TIMES = 4
"""How many times as long as the slowest answer before, at least."""

FROM_PORT = 61000
"""Above what the kernel gives by itself (net.ipv4.ip_local_port_range): an answer is for nobody else."""

FROM_PORT_AGAIN = 63000
"""Of what the first probes have opened something may be left: a lost segment cannot have reset it."""

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


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of probes."""

    probes: Probes
    sightings: Sequence[Sighting]
    arrived: frozenset[int]
    """Those that the destination has acted on."""
    from_port: int = FROM_PORT
    """Of the first probe, where its protocol has ports."""
    followed: Followed | None = None
    """Where the kernels would not tell what becomes of them; None if they were not asked."""
    ended: Sequence[Ended] = ()
    """Where rules have ended them, as the kernels say."""
    dropped: Sequence[Dropped] = ()
    """For what reasons the kernels have dropped them."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Who probes whom."""

    machines: Machines
    known: Known
    start: End
    end: End
    asked: Asked

    @property
    def inside(self) -> Mapping[str, Mapping[str, int]]:
        """The containers whose namespaces matter, by machine: a process in each."""
        found: dict[str, dict[str, int]] = {}
        for end in (self.start, self.end):
            if end.namespace:
                found.setdefault(end.machine, {})[end.namespace] = self.known.process(end)
        return found

    def first(self) -> Heard:
        """Send probes, and see where they come."""
        sizes = _sizes(self.machines, self.known, self.start, self.end, self.asked)
        return self._send(sizes, self._marks(sizes, FROM_PORT), ANSWER)

    def again(self, before: Heard, tables: Mapping[str, Machine]) -> Heard:
        """Send as many, and have the kernel itself tell what becomes of them."""
        sizes = [*before.probes.sizes.values()]
        marks = self._marks(sizes, FROM_PORT_AGAIN)
        slowest = max(before.probes.answered.values(), default=0.0)
        followed = self.machines.follow(tables, marks)
        try:
            heard = self._send(sizes, marks, min(ANSWER, max(AGAIN, TIMES * slowest)))
        finally:
            ended, dropped = self.machines.met(marks)
        return replace(heard, followed=followed, ended=ended, dropped=dropped)

    def _marks(self, sizes: Sequence[int], from_port: int) -> Marks:
        asked, family = self.asked, self.end.address.version
        largest = max(sizes) - _headers(family, asked.protocol)
        return Marks(secrets.randbits(32) | 1 << 31, asked.protocol, family, from_port, largest)

    def _send(self, sizes: Sequence[int], marks: Marks, answer: float) -> Heard:
        asked, start, end = self.asked, self.start, self.end
        self.machines.watch(self.inside, marks)
        told = self.machines.send(
            start.machine,
            self.known.process(start),
            {
                "protocol": asked.protocol, "to": str(end.address), "source": str(start.address),
                "port": asked.port, "fromPort": marks.from_port, "mark": marks.mark, "sizes": sizes,
                "interval": INTERVAL, "patience": answer * patience(),
            },
        )  # fmt: skip
        probes = Probes(
            sizes={number: sizes[number] for number in told["sent"]},
            answered={int(number): seconds for number, seconds in told["answered"].items()},
            refused={int(number): why for number, why in told["refused"].items()},
            errors=tuple((item["number"], _error(item, marks.family)) for item in told["errors"]),
            kinds={int(number): kind for number, kind in told["kinds"].items()},
        )
        sightings = self.machines.seen(marks)
        return Heard(probes, sightings, _arrived(probes, sightings, end, asked), marks.from_port)


def _headers(family: Literal[4, 6], protocol: str) -> int:
    """Bytes of a probe without its payload."""
    return HEADER[family] + (20 if protocol == "tcp" else 8)


def _sizes(machines: Machines, known: Known, start: End, end: End, asked: Asked) -> list[int]:
    """Bytes of each probe."""
    headers = _headers(end.address.version, asked.protocol)
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
