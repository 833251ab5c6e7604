"""What the workload must not notice. Pure."""

from collections.abc import Iterator

from lab.soak.evidence import Applied, Evidence, Gap
from lab.soak.invariants.model import RECOVERY, Violation, subjects
from lab.soak.recipes import touched
from lab.spec import LabSpec

__all__ = ["content", "flows", "rows"]

BEFORE = 0.5
"""Seconds by which a fault may begin before it is known to have begun."""

EXPECTED = {
    "datagrams": ("flow", "every datagram to arrive, for no fault may touch it"),
    "stalled": ("tcp", "every message to be acknowledged in 3 s, for no fault may touch it"),
    "broken": ("tcp", "its connections to stay, for no fault may touch it"),
    "refused": ("tcp", "new connections to come about in 3 s, for no fault may touch it"),
}


def flows(spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """A flow that no fault in force may touch loses nothing."""
    done = [item for item in evidence.applied if item.counts]
    for gap in evidence.gaps:
        if not any(_excuses(spec, item, gap) for item in done):
            kind, expected = EXPECTED[gap.kind]
            seen = f"{gap.kind}: {gap.words}, from {gap.after:.2f} to {gap.before:.2f} s"
            yield Violation(kind, f"{gap.sender} -> {gap.receiver}", expected, seen)


def _excuses(spec: LabSpec, item: Applied, gap: Gap) -> bool:
    touches = touched(spec, item.entry.fault)
    both = {gap.sender, gap.receiver}
    if touches == "nothing" or (touches == "nodes" and not subjects(spec, item) & both):
        return False
    return gap.before >= item.began - BEFORE and gap.after <= item.ended + RECOVERY


def content(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """What arrives over TCP is what was sent, whatever is done to packets."""
    for words in evidence.content:
        yield Violation("content", words.partition(":")[0], "messages to arrive as they were sent", words)


def rows(_spec: LabSpec, evidence: Evidence) -> Iterator[Violation]:
    """What a MySQL server has acknowledged it keeps."""
    for item in evidence.missing:
        numbers = ", ".join(str(number) for number in item.numbers[:5])
        more = f" and {len(item.numbers) - 5} more" if len(item.numbers) > 5 else ""
        seen = f"of those that {item.client} appended, {numbers}{more} are not there"
        yield Violation("rows", item.server, "every row that it has acknowledged", seen)
    for server, why in evidence.unasked.items():
        yield Violation("rows", server, "to say which rows it has once everything has ended", why)
