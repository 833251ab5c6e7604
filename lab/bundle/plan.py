"""The plan of `lab up`, with the times that its steps took, from the events of that run. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from lab.checks.values import Data
from lab.cluster.plan import Step
from lab.render.text import table

__all__ = ["OUTCOMES", "timed"]

OUTCOMES = {"step-ended": "done", "step-failed": "failed", "step-called-off": "called off"}
"""By the names of lab/events.py."""


def timed(steps: Sequence[Step], events: Iterable[Mapping[str, Data]]) -> str:
    """A line for each step: when it began, how long it took, and how it ended."""
    began: dict[str, str] = {}
    over: dict[str, tuple[str, str, str]] = {}
    heard = False
    for event in events:
        heard = True
        name, kind = str(event.get("name", "")), str(event["event"])
        if kind == "step-began":
            began[name] = str(event["at"])
        elif kind in OUTCOMES:
            took = event.get("seconds")
            seconds = f"{took:.2f} s" if isinstance(took, int | float) else ""
            over[name] = (seconds, OUTCOMES[kind], str(event.get("error", "")))
    rows = []
    for step in steps:
        otherwise = "under way" if step.name in began else "not begun" if heard else "unknown"
        seconds, outcome, error = over.get(step.name, ("", otherwise, ""))
        rows.append([step.name, began.get(step.name, ""), seconds, outcome, error or step.action.describe()])
    text = table(["STEP", "BEGAN", "TOOK", "OUTCOME", "WHAT IT DOES, OR ITS ERROR"], rows) + "\n"
    if not heard:
        text += (
            "\nThe lab was made by another process, so nothing is known of when its steps began and ended.\n"
        )
    return text
