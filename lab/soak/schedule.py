"""A schedule: which faults are started when, round by round; as a file that can be replayed. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from lab import yamltext
from lab.errors import Unfit
from lab.faults.registry import fault_named
from lab.faults.targets import Setting
from lab.validation import Model, validate

__all__ = ["Entry", "Round", "Schedule", "read", "require_fit", "written"]

Seconds = Annotated[float, Field(ge=0, le=3600)]


class Entry(Model):
    """One fault of a round."""

    at: Seconds
    """From the beginning of the round."""
    fault: str
    targets: tuple[str, ...] = ()
    options: Mapping[str, str] = {}
    lasts: Seconds | None = None
    """None for an event."""

    @property
    def ends(self) -> float:
        """Seconds from the beginning of the round."""
        return self.at + (self.lasts or 0)

    def describe(self) -> str:
        """As somebody would type it."""
        options = [f"--{name} {value}" for name, value in self.options.items()]
        lasts = [f"--for {self.lasts:g}s"] if self.lasts is not None else []
        words = " ".join(["lab fault start", self.fault, *self.targets, *options, *lasts])
        return f"at {self.at:g} s: {words}"


class Round(Model):
    """Faults that overlap; then all are ended, and everything has to be right again."""

    faults: tuple[Entry, ...]


class Schedule(Model):
    """Rounds, one after the other."""

    seed: int | None = None
    """It was drawn from; None for one that was written or shrunk."""
    rounds: tuple[Round, ...]


def written(schedule: Schedule) -> str:
    """The schedule as YAML, which `read` takes."""
    document = schedule.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def read(path: Path) -> Schedule:
    """A schedule from a file. Raises `Unfit`."""
    text = yamltext.load(yamltext.read(path), str(path))
    if text.problems or len(text.items) != 1:
        raise Unfit("\n".join(text.problems) or f"{path}: one document expected; it has {len(text.items)}")
    return validate(Schedule, text.items[0], str(path))


def require_fit(schedule: Schedule, setting: Setting, source: str) -> None:
    """Raise `Unfit`, with a line for each, where entries are nothing that can be asked of this lab."""
    wrong = []
    for number, planned in enumerate(schedule.rounds):
        if not planned.faults:
            wrong.append(f"{source}: rounds[{number}].faults: expected at least one")
        for place, entry in enumerate(planned.faults):
            try:
                _require_fit(entry, setting)
            except Unfit as error:
                wrong.append(f"{source}: rounds[{number}].faults[{place}]: {error.message}")
    if not schedule.rounds:
        wrong.append(f"{source}: rounds: expected at least one")
    if wrong:
        raise Unfit("\n".join(wrong), hint="See: lab fault ls")


def _require_fit(entry: Entry, setting: Setting) -> None:
    fault = fault_named(entry.fault)
    fault.function(fault.ask(setting, entry.targets, entry.options))
    if fault.kind == "state" and entry.lasts is None:
        raise Unfit(f"{fault.name} lasts until it is ended: lasts: SECONDS is required")
    if fault.kind == "event" and entry.lasts is not None:
        raise Unfit(f"{fault.name} is an event, which does not last: lasts cannot be given")
