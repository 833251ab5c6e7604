"""One line a figure, and all of them as a document."""

import statistics
from collections.abc import Sequence
from typing import Final

import click

__all__ = ["FIGURES", "line", "ratio"]

FIGURES: Final[list[dict[str, object]]] = []
"""What was printed so far, for `--output`."""


def line(name: str, values: Sequence[float], unit: str, target: str = "") -> float:
    """Print one figure, median, minimum and maximum; the median."""
    middle, low, high = statistics.median(values), min(values), max(values)
    click.echo(f"{name:<46} {middle:8.2f} {unit:<3} ({low:.2f} - {high:.2f}, n={len(values)})  {target}")
    FIGURES.append(
        {
            "name": name.strip(),
            "unit": unit,
            "median": _short(middle),
            "least": _short(low),
            "greatest": _short(high),
            "count": len(values),
            "target": target.removeprefix("target").lstrip(": "),
        }
    )
    return middle


def ratio(name: str, ours: float, theirs: float, target: str) -> None:
    """Print ours in terms of theirs, both of the same run."""
    line(name, [ours / theirs], "x", target)


def _short(value: float) -> float:
    """Four digits: no figure here has more."""
    return float(f"{value:.4g}")
