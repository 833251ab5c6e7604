"""What `lab soak` shows: a line for a round, and what did not hold, with the way to see it again."""

from collections.abc import Sequence

from lab.render.documents import Document, versioned
from lab.soak.outcome import Outcome
from lab.soak.schedule import Round, Schedule, written

__all__ = ["document", "line", "report"]


def line(outcome: Outcome) -> str:
    """One round."""
    faults = ", ".join(entry.fault for entry in outcome.planned.faults)
    undone = dict.fromkeys(item.entry.fault for item in outcome.evidence.applied if not item.done)
    faults += f" (not done: {', '.join(undone)})" if undone else ""
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
    lines += [f"  {item.describe()}" for item in outcome.violations]
    lines += ["", "What was done, in seconds from the beginning of the round:"]
    for item in sorted(outcome.evidence.applied, key=lambda done: done.began):
        told = f"  {item.began:6.2f} - {item.ended:6.2f}  {item.entry.fault} {' '.join(item.entry.targets)}"
        lines.append(f"{told.rstrip()}  ({item.error.splitlines()[0]})" if item.error else told.rstrip())
    shortest = outcome.shortest or outcome.planned
    fewer = f"{len(shortest.faults)} of its {len(outcome.planned.faults)} faults are enough" * bool(
        outcome.shortest
    )
    lines += ["", f"{fewer or 'Not shrunk'}; as a file for lab soak --replay FILE:", "", _file(shortest)]
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
        "shortest": (
            [entry.model_dump(mode="json") for entry in outcome.shortest.faults] if outcome.shortest else None
        ),
    }
