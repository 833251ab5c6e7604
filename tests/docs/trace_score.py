"""The table of how each fault is named, for docs/trace.md, from what `make trace-score` has written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["table"]

SCORES: Final = Path(__file__).parents[2] / "docs" / "trace-score.json"
BY: Final = ("trace: ", "doctor: ")


def table() -> str:
    """A row for each fault, and a column for each kind of lab."""
    scores: Sequence[Mapping[str, Any]] = json.loads(SCORES.read_text(encoding="utf-8"))
    ways = list(dict.fromkeys(item["way"] for item in scores))
    faults = list(dict.fromkeys(item["fault"] for item in scores))
    cells = {(item["fault"], item["way"]): _cell(item) for item in scores}
    rows = [[_fault(fault), *(cells.get((fault, way), "-") for way in ways)] for fault in faults]
    right = sum(item["right"] for item in scores)
    head = [f"| fault | {' | '.join(ways)} |", "|---" * (len(ways) + 1) + "|"]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*head, *lines]) + f"\n\n{right} of {len(scores)} are named right.\n"


def _fault(fault: str) -> str:
    return fault if fault == "none" else f"`{fault}`"


def _cell(item: Mapping[str, Any]) -> str:
    named = str(item["named"])
    for by in BY:
        if named.startswith(by):
            named = f"`{named.removeprefix(by).partition(' at ')[0]}` {item['seconds']:.1f} s"
    if named.startswith("repaired"):
        named = "repaired"
    return named if item["right"] else f"**wrong**: {named}"
