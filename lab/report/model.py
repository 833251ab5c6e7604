"""What a report is made from. Pure."""

from dataclasses import dataclass
from datetime import datetime

from lab.checks import Finding, LeftOut
from lab.graph.model import Graph
from lab.report.documents import Bench, Bundle, Soak
from lab.report.phases import Timings
from lab.tutorial.step import StepResult

__all__ = ["Absent", "Checked", "Indexed", "Report"]


@dataclass(frozen=True, slots=True)
class Absent:
    """A part that there is nothing to make from."""

    why: str
    how: str = ""
    """What to do, so that the next report has it."""


@dataclass(frozen=True, slots=True)
class Checked:
    """Every check, and what was not looked at."""

    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, slots=True)
class Indexed:
    """A bundle in a folder: what is in it, or why it cannot be read."""

    file: str
    size: int
    contents: Bundle | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All parts."""

    lab: str
    at: datetime
    version: str
    """Of overlay-lab."""
    topology: Graph | Absent
    checks: Checked | Absent
    replay: tuple[StepResult, ...] | Absent
    timings: Timings | Absent
    soak: Soak | Absent
    bundles: tuple[Indexed, ...] | Absent
    bench: Bench | Absent
