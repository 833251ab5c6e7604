"""The tables of how each fault is named, for docs/trace.md, from what `make trace-score` has written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["table"]

SCORES: Final = Path(__file__).parents[2] / "docs" / "trace-score.json"
BY: Final = ("trace: ", "doctor: ")
BOTH: Final = " + "

Scores = Sequence[Mapping[str, Any]]


def table() -> str:
    """Faults alone in our labs, then in those of other daemons, then two at once: a column for each lab."""
    scores: Scores = json.loads(SCORES.read_text(encoding="utf-8"))
    alone = [item for item in scores if BOTH not in item["fault"]]
    both = [item for item in scores if BOTH in item["fault"]]
    others = [item for item in alone if "flannel" in item["way"]]
    ours = [item for item in alone if item not in others]
    right = sum(item["right"] for item in scores)
    return "\n\n".join(
        [
            *_table("fault", ours),
            *_table("fault, with genuine flannels and with none", others),
            *_table("two at once", both),
            f"{right} of {len(scores)} are named right.\n",
        ]
    )


def _table(title: str, scores: Scores) -> Sequence[str]:
    """A row for each fault, and a column for each kind of lab; nothing where there are no scores."""
    ways = list(dict.fromkeys(item["way"] for item in scores))
    faults = list(dict.fromkeys(item["fault"] for item in scores))
    cells = {(item["fault"], item["way"]): _cell(item) for item in scores}
    rows = [[_fault(fault), *(cells.get((fault, way), "-") for way in ways)] for fault in faults]
    head = [f"| {title} | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return ["\n".join([*head, *lines])] if scores else []


def _fault(fault: str) -> str:
    return fault if fault == "none" else BOTH.join(f"`{each}`" for each in fault.split(BOTH))


def _cell(item: Mapping[str, Any]) -> str:
    named = BOTH.join(_name(each) for each in str(item["named"]).split(BOTH))
    if named.startswith("`"):
        named += f" {item['seconds']:.1f} s"
    if named.startswith("repaired"):
        named = "repaired"
    return named if item["right"] else f"**wrong**: {named}"


def _name(named: str) -> str:
    """What is named, without by whom and where."""
    for by in BY:
        if named.startswith(by):
            return f"`{named.removeprefix(by).partition(' at ')[0]}`"
    return named
