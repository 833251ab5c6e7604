"""Asks the lab for what a report shows of it: one part after the other, none of which hides another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lab import checks, tutorial
from lab.bundle.redact import Redaction
from lab.bundle.secrets import secrets_of
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Reporter
from lab.graph.model import Graph
from lab.naming import name_option
from lab.report.model import Absent, Checked
from lab.topology import graph_of
from lab.tutorial import StepResult

__all__ = ["Asked", "ask"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the lab itself has told."""

    topology: Graph | Absent
    checks: Checked | Absent
    replay: tuple[StepResult, ...] | Absent
    redaction: Redaction


def ask(name: str, progress: Reporter) -> Asked:
    """Ask the lab of this name; without it, each part says why it is not there."""
    try:
        lab = Lab.get(Engine.connect(), name)
        if not lab.has_its_networks:
            raise LabError(f"the lab {name} is not finished", hint="It is being made, or lab gc removes it.")
    except LabError as error:
        how = f"Bring it up, then write the report: lab up{name_option(name)}"
        absent = Absent(_one_line(error), error.hint or how)
        return Asked(absent, absent, absent, Redaction())
    return Asked(
        _part(progress, "ask what there is to draw", lambda: graph_of(lab)),
        _part(progress, "run every check", lambda: _checked(lab)),
        _part(progress, "replay the tutorial", lambda: _replayed(lab)),
        secrets_of(lab),
    )


def _part(progress: Reporter, step: str, look: Callable[[], T]) -> T | Absent:
    with progress.step(step):
        try:
            return look()
        except LabError as error:
            return Absent(_one_line(error), error.hint)


def _checked(lab: Lab) -> Checked:
    return Checked(tuple(checks.run_all(lab)), tuple(checks.left_out(lab.spec)))


def _replayed(lab: Lab) -> tuple[StepResult, ...]:
    found: Sequence[StepResult] = list(tutorial.replay(lab))
    return tuple(found)


def _one_line(error: LabError) -> str:
    return " ".join(error.message.split())
