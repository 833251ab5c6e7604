"""What `lab soak` shows: a line for a round, and what did not hold, with the way to see it again."""

from collections.abc import Sequence

from lab.render.documents import Document, versioned
from lab.soak.invariants import is_whole, telling
from lab.soak.outcome import Outcome
from lab.soak.schedule import Round, Schedule, written
from lab.soak.timeline import events, outline

__all__ = ["document", "line", "report"]

LONGEST = 60
"""Events that a reader is shown."""


def line(outcome: Outcome) -> str:
    """One round."""
    faults = ", ".join(entry.fault for entry in outcome.planned.faults)
    undone = dict.fromkeys(item.entry.fault for item in outcome.evidence.applied if not item.done)
    faults += f" (not done: {', '.join(undone)})" if undone else ""
    if not is_whole(outcome.evidence):
        faults += " (leases not judged: of what became of etcd's keys something is missing)"
    if not outcome.violations:
        return f"round {outcome.number} held: {faults}"
    kinds = ", ".join(dict.fromkeys(item.kind for item in outcome.violations))
    return f"round {outcome.number} did not hold ({kinds}): {faults}"


def report(outcomes: Sequence[Outcome]) -> str:
    """The end."""
    failed = [outcome for outcome in outcomes if outcome.violations]
    held = f"{len(outcomes) - len(failed)} of {_rounds(len(outcomes))} held."
    return "\n\n".join([*(_failure(outcome) for outcome in failed), held])


def _rounds(number: int) -> str:
    return f"{number} round{'' if number == 1 else 's'}"


def _failure(outcome: Outcome) -> str:
    lines = [f"Round {outcome.number} did not hold."]
    lines += [f"  {words}" for words in telling(outcome.violations)]
    lines += ["", "What happened, in seconds from the beginning of the round:"]
    every = events(outcome.evidence)
    told = outline(every)
    lines += [f"  {event.describe()}" for event in told[:LONGEST]]
    left_out = len(every) - len(told[:LONGEST])
    lines += [f"  and {left_out} more, all of them with --json"] if left_out else []
    shortest = outcome.shortest or outcome.planned
    fewer = (
        f"{len(shortest.faults)} of its {len(outcome.planned.faults)} faults are enough "
        f"for {outcome.violations[0].kind}"
        if outcome.shortest
        else "Not shrunk"
    )
    lines += ["", f"{fewer}; as a file for lab soak --replay FILE:", "", _file(shortest)]
    return "\n".join(lines)


def _file(planned: Round) -> str:
    text = written(Schedule(rounds=(planned,))).rstrip()
    return "\n".join(f"    {row}" for row in text.splitlines())


def document(outcomes: Sequence[Outcome], seed: int | None) -> Document:
    """The same for a program."""
    return versioned({"seed": seed, "rounds": [_round(outcome) for outcome in outcomes]})


def _round(outcome: Outcome) -> Document:
    return {
        "number": outcome.number,
        "held": not outcome.violations,
        "faults": [entry.model_dump(mode="json") for entry in outcome.planned.faults],
        "violations": [
            {"kind": item.kind, "subject": item.subject, "expected": item.expected, "seen": item.seen}
            for item in outcome.violations
        ],
        "timeline": [
            {"at": round(event.at, 3), "node": event.node, "kind": event.kind, "text": event.text}
            for event in (events(outcome.evidence) if outcome.violations else ())
        ],
        "shortest": (
            [entry.model_dump(mode="json") for entry in outcome.shortest.faults] if outcome.shortest else None
        ),
    }
