"""What pytest's summary says of labs."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["BUNDLE", "KEPT", "NAMES", "lines"]

BUNDLE = "lab bundle"
"""Property of a report: carries the name of a bundle from a worker of pytest-xdist to the summary."""

NAMES = "lab kept"
"""The same of a lab that stays up."""

KEPT: set[str] = set()
"""The labs of this process that stay up."""


def lines(stats: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """What to write, of pytest's reports by their outcome."""
    reports = [report for every in stats.values() for report in every]
    properties = [(report, *item) for report in reports for item in getattr(report, "user_properties", ())]
    for report, name, value in properties:
        if name == BUNDLE and report.failed:
            shown = os.path.relpath(value) if Path(value).is_absolute() else value
            yield f"lab bundle about {report.nodeid}: {shown}"
    kept = KEPT | {value for _, name, value in properties if name == NAMES}
    for lab in sorted(kept):
        yield f"the lab {lab} stays up; to remove it: lab down --name {lab}"
