"""A schedule: which faults are started when, round by round; as a file that can be replayed. Pure."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field

from lab import yamltext
from lab.errors import Unfit
from lab.validation import Model, validate

__all__ = ["Entry", "Round", "Schedule", "read", "written"]

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
