"""What must hold whatever happens, and which of it a round has violated. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.soak.evidence import Applied, Evidence, Lost
from lab.soak.recipes import RECIPES, touched
from lab.spec import LabSpec

__all__ = ["RECOVERY", "Violation", "violations"]

RECOVERY = 15.0
"""Seconds after the end of a fault within which everything has to be right again, flows included."""

BEFORE = 0.5
"""Seconds by which a fault may begin before it is known to have begun."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that did not hold."""

    kind: str
    """Which invariant: checks.ID, flow, subnet, panic, left."""
    subject: str
    expected: str
    seen: str

    def describe(self) -> str:
        """In one paragraph."""
        return f"{self.subject}: expected {self.expected}; seen: {self.seen}"


def violations(spec: LabSpec, evidence: Evidence) -> tuple[Violation, ...]:
    """All of them, those that explain others first."""
    return (
        *_panics(evidence),
        *_left(evidence),
        *_wrong(evidence),
        *_subnets(spec, evidence),
        *_flows(spec, evidence),
    )


def _panics(evidence: Evidence) -> Iterator[Violation]:
    for node, lines in (evidence.panics or {}).items():
        yield Violation("panic", node, "no program that panics", lines)


def _left(evidence: Evidence) -> Iterator[Violation]:
    for what in evidence.left:
        yield Violation("left", "the lab", "every fault to end", what)


def _wrong(evidence: Evidence) -> Iterator[Violation]:
    for item in evidence.wrong:
        expected = f"within {RECOVERY:g} s of the last fault, {item.title}: {item.expected.text}"
        yield Violation(f"checks.{item.id}", str(item.subject), expected, item.seen.text)


def _subnets(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """A node keeps its subnet, unless something was done to leases."""
    before, after = evidence.subnets_before or {}, evidence.subnets_after or {}
    done = [item.entry for item in evidence.applied if item.done]
    if any(entry.fault not in RECIPES for entry in done):
        return
    moved = {
        node
        for entry in done
        if RECIPES[entry.fault].moves
        for node in entry.targets or [item.name for item in spec.nodes]
    }
    for node, subnet in before.items():
        if node not in moved and node in after and after[node] != subnet:
            yield Violation("subnet", node, f"the subnet that it had, {subnet}", after[node] or "none")


def _flows(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """A flow that no fault in force may touch loses nothing."""
    for lost in evidence.lost:
        if not any(_excuses(spec, item, lost) for item in evidence.applied if item.done):
            seen = f"{lost.count} lost, sent from {lost.after:.2f} to {lost.before:.2f} s"
            flow = f"{lost.sender} -> {lost.receiver}"
            yield Violation("flow", flow, "every datagram to arrive, for no fault may touch it", seen)


def _excuses(spec: LabSpec, item: Applied, lost: Lost) -> bool:
    touches = touched(spec, item.entry.fault)
    nodes = {target.partition("/")[0] for words in item.entry.targets for target in words.split(",")}
    if touches == "nothing" or (touches == "nodes" and not nodes & {lost.sender, lost.receiver}):
        return False
    return lost.before >= item.began - BEFORE and lost.after <= item.ended + RECOVERY
