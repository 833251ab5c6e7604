"""The tables of docs/benchmarks.md, made from what `lab bench` wrote into docs/bench/."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

__all__ = ["machine", "overlays", "targets"]

FOLDER: Final = Path(__file__).parent.parent.parent / "docs" / "bench"


def _read(name: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((FOLDER / name).read_text())
    return content


def _words(key: str) -> str:
    """`congestionControl` for a person."""
    return re.sub("[A-Z]", lambda letter: f" {letter[0].lower()}", key)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def machine() -> str:
    """What `lab bench` ran on, and how."""
    run = _read("bench.json")
    facts = [[_words(key), str(value)] for key, value in run["machine"].items()]
    return _table(["", ""], [*facts, ["rounds", f"{run['rounds']} of {run['seconds']} s each"]])


def overlays() -> str:
    """A row for each way, a column for each figure: medians."""
    run = _read("bench.json")
    places = [("host to host", "hosts"), ("container to container", "containers")]
    metrics = ["TCP, 1 stream", "64-byte UDP received", "1200-byte UDP received", "round trip, median"]
    found = {(item["way"], item["place"], item["metric"]): item for item in run["figures"]}
    units = {item["metric"]: item["unit"] for item in run["figures"]}
    columns = [
        (metric, place, f"{metric}, {short} ({units[metric]})")
        for metric in metrics
        for place, short in places
    ]
    rows = [
        [way["title"], *(_median(found.get((way["name"], place, metric))) for metric, place, _ in columns)]
        for way in run["ways"]
        if way["absent"] is None
    ]
    return _table(["way", *(title for _, _, title in columns)], rows)


def targets() -> str:
    """What the udp backend is to reach, and what was seen."""
    run = _read("bench.json")
    titles = {way["name"]: way["title"] for way in run["ways"]}
    rows = []
    for item in run["targets"]:
        seen, limit = item["seen"], item.get("atLeast", item.get("atMost"))
        base = item.get("inTermsOf")
        rows.append(
            [
                titles[item["way"]],
                f"{item['metric']}, {item['place']}",
                f"x {titles[base]}" if base else "",
                f"{seen['median']:.2f} ({seen['least']:.2f} - {seen['greatest']:.2f})",
                f"{'at least' if 'atLeast' in item else 'at most'} {limit:.3g}",
                "met" if item["met"] else "**missed**",
            ]
        )
    return _table(["way", "figure", "in terms of", "median (range)", "target", ""], rows)


def _median(item: Mapping[str, Any] | None) -> str:
    return "-" if item is None else _short(item["median"])


def _short(value: float) -> str:
    """Three digits, and thousands with commas."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
