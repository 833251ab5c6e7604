"""One line a figure."""

import statistics
from collections.abc import Sequence

import click

__all__ = ["line", "ratio"]


def line(name: str, values: Sequence[float], unit: str, target: str = "") -> float:
    """Print one figure, median, minimum and maximum; the median."""
    middle, low, high = statistics.median(values), min(values), max(values)
    click.echo(f"{name:<46} {middle:8.2f} {unit:<3} ({low:.2f} - {high:.2f}, n={len(values)})  {target}")
    return middle


def ratio(name: str, ours: float, theirs: float, target: str) -> None:
    """Print ours in terms of theirs, both of the same run."""
    click.echo(f"{name:<46} {ours / theirs:8.2f} x   {target}")
