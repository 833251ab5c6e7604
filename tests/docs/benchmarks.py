"""The tables of docs/benchmarks.md, made from what `lab bench` wrote into docs/bench/."""

from collections.abc import Mapping
from typing import Any

from tests.docs.measured import read, short, table, words

__all__ = ["machine", "overlays", "targets"]


def machine() -> str:
    """What `lab bench` ran on, and how."""
    run = read("bench/bench.json")
    facts = [[words(key), str(value)] for key, value in run["machine"].items()]
    return table(["", ""], [*facts, ["rounds", f"{run['rounds']} of {run['seconds']} s each"]])


def overlays() -> str:
    """A row for each way, a column for each figure: medians."""
    run = read("bench/bench.json")
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
    return table(["way", *(title for _, _, title in columns)], rows)


def targets() -> str:
    """What the udp backend is to reach, and what was seen."""
    run = read("bench/bench.json")
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
    return table(["way", "figure", "in terms of", "median (range)", "target", ""], rows)


def _median(item: Mapping[str, Any] | None) -> str:
    return "-" if item is None else short(item["median"])
