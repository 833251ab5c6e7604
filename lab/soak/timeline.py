"""What happened in a round, by one clock: faults, etcd's keys, machines, services, the workload. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.soak.evidence import Evidence
from lab.soak.history import changes
from lab.soak.records import FDB, KERNEL, READY, SUBNET_ENV, Line

__all__ = ["Event", "Kind", "events", "outline", "shown"]

Underlying = Literal["address", "link", "route", "rule", "neighbour", "fdb"]
Kind = Literal["fault", "etcd", "subnet.env", "ready", "log", "gap", Underlying]

LABELS: dict[str, Kind] = {
    "ADDR": "address",
    "LINK": "link",
    "ROUTE": "route",
    "RULE": "rule",
    "NEIGH": "neighbour",
}
"""What `ip monitor label` calls them."""

LABELLED = re.compile(r"\[(\w+)\](.*)")

PASSING = re.compile(r"\b(REACHABLE|STALE|DELAY|PROBE|INCOMPLETE|FAILED|NONE)\b")
"""States of neighbours that the kernel finds out by itself."""

OF_THE_KERNEL = re.compile(r"\btable local\b|^(Deleted )?(multicast|anycast|broadcast|local)\b|\bveth")
"""What follows from other changes, or is of a container."""

OUTLINE: frozenset[Kind] = frozenset({"fault", "etcd", "address", "subnet.env", "ready", "gap"})


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    at: float
    """Seconds from the round's beginning."""
    node: str
    """Where; of a gap, from where to where. Empty for the whole lab."""
    kind: Kind
    text: str

    def describe(self) -> str:
        """In a line."""
        return f"{self.at:7.2f}  {self.node:<16} {self.kind:<10} {self.text}".rstrip()


def events(evidence: Evidence) -> tuple[Event, ...]:
    """All of them, in order."""
    found = [
        *_faults(evidence),
        *_keys(evidence),
        *(event for line in evidence.lines for event in _shown_by(line)),
        *(Event(line.at, line.node, "log", f"{line.source}: {line.text}") for line in evidence.logs),
        *_gaps(evidence),
    ]
    return tuple(sorted((event for event in found if event.at >= 0), key=lambda event: event.at))


def outline(every: Sequence[Event]) -> tuple[Event, ...]:
    """What a reader needs first: what was done, what became of leases and subnets, and what got lost."""
    return tuple(event for event in every if event.kind in OUTLINE)


def shown(every: Sequence[Event]) -> str:
    """As text, a line for each."""
    return "".join(f"{event.describe()}\n" for event in every)


def _faults(evidence: Evidence) -> Iterator[Event]:
    for item in evidence.applied:
        entry = item.entry
        options = "".join(f" --{name} {value}" for name, value in entry.options.items())
        where = ", ".join(entry.targets)
        if not item.done:
            words = item.error.splitlines()[0]
            yield Event(item.began, where, "fault", f"{entry.fault}{options} was not done: {words}")
            continue
        verb = "begins" if entry.lasts is not None else "is done"
        yield Event(item.began, where, "fault", f"{entry.fault}{options} {verb}")
        if entry.lasts is not None:
            yield Event(item.ended, where, "fault", f"{entry.fault} ends")


def _keys(evidence: Evidence) -> Iterator[Event]:
    for change in changes(evidence.lines):
        said = "is deleted" if change.value is None else f"= {change.value}"
        yield Event(change.at, "", "etcd", f"{change.key} {said}")


def _shown_by(line: Line) -> Iterator[Event]:
    text = line.text
    if line.source == KERNEL and (labelled := LABELLED.match(text or "")) is not None:
        kind, words = LABELS.get(labelled[1]), " ".join(labelled[2].partition("\\")[0].split())
        passing = kind == "neighbour" and PASSING.search(words)
        if kind is not None and not passing and not OF_THE_KERNEL.search(words):
            yield Event(line.at, line.node, kind, words)
    elif line.source == FDB and text and not OF_THE_KERNEL.search(text):
        yield Event(line.at, line.node, "fdb", text)
    elif line.source == SUBNET_ENV:
        yield Event(line.at, line.node, "subnet.env", " ".join(text.split()) if text else "is not there")
    elif line.source == READY:
        yield Event(line.at, line.node, "ready", text or "does not answer")


def _gaps(evidence: Evidence) -> Iterator[Event]:
    for gap in evidence.gaps:
        words = f"{gap.kind}: {gap.words}, until {gap.before:.2f} s"
        yield Event(max(0.0, gap.after), f"{gap.sender} -> {gap.receiver}", "gap", words)
