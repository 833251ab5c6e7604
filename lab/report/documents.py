"""The JSON documents that a report reads, as values: what it shows of them, and no more. Pure.

A key that it does not know is let pass: a document may get one without another `schemaVersion`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from lab.errors import Unfit

__all__ = [
    "Bench",
    "Bundle",
    "Counts",
    "Document",
    "Fault",
    "Figure",
    "Happened",
    "Happening",
    "Round",
    "Soak",
    "Target",
    "read",
]


class Document(BaseModel):
    """Frozen; its keys are camelCase."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, validate_by_alias=True, validate_by_name=True
    )


class Happening(Document):
    """A line of `lab up --events`."""

    event: str
    at: datetime
    step: int = 0
    """0: it is no step."""
    parent: int | None = None
    name: str = ""
    seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    error: str = ""


class Fault(Document):
    """One fault of a round of `lab soak`."""

    at: float = Field(ge=0, allow_inf_nan=False)
    fault: str
    targets: tuple[str, ...] = ()
    options: Mapping[str, str] = {}
    lasts: float | None = Field(default=None, ge=0, allow_inf_nan=False)

    @property
    def words(self) -> str:
        """It with its options, and where."""
        options = "".join(f" --{name} {value}" for name, value in self.options.items())
        return f"{self.fault}{options}" + (f" on {', '.join(self.targets)}" if self.targets else "")


class Violation(Document):
    """What did not hold in a round."""

    kind: str
    subject: str
    expected: str
    seen: str


class Happened(Document):
    """What happened in a round."""

    at: float = Field(ge=0, allow_inf_nan=False)
    node: str
    kind: str
    text: str


class Round(Document):
    """A round of `lab soak`."""

    number: int
    held: bool
    faults: tuple[Fault, ...]
    violations: tuple[Violation, ...] = ()
    timeline: tuple[Happened, ...] = ()
    shortest: tuple[Fault, ...] | None = None


class Soak(Document):
    """`lab soak --json`."""

    schema_version: Literal[1]
    seed: int | None
    rounds: tuple[Round, ...]


class Counts(Document):
    """Checks of a bundle."""

    passed: int
    failed: int
    unknown: int


class Machine(Document):
    """A machine in a bundle."""

    name: str
    state: str
    silence: str | None


class File(Document):
    """A file of a bundle."""

    path: str
    command: str | None
    exit_status: int | None
    size: int


class Bundle(Document):
    """`lab bundle --json`, and contents.json."""

    schema_version: Literal[1]
    lab: str
    at: datetime
    why: str
    checks: Counts | None
    nodes: tuple[Machine, ...]
    files: tuple[File, ...]


class Way(Document):
    """A way from machine to machine."""

    name: str
    title: str
    absent: str | None


class Figure(Document):
    """The values of one metric for one way."""

    metric: str
    unit: str
    place: str
    way: str
    median: float = Field(allow_inf_nan=False)
    least: float = Field(allow_inf_nan=False)
    greatest: float = Field(allow_inf_nan=False)


class Spread(Document):
    """What was seen of a target."""

    median: float = Field(allow_inf_nan=False)


class Target(Document):
    """What a way is to reach."""

    way: str
    in_terms_of: str | None
    place: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None
    seen: Spread
    met: bool


class Integrity(Document):
    """Whether data arrived as it was sent."""

    way: str
    place: str
    equal: bool


class Failure(Document):
    """A measurement that failed."""

    round: int
    way: str
    what: str
    reason: str


class Bench(Document):
    """bench.json."""

    schema_version: Literal[1]
    machine: Mapping[str, str]
    rounds: int
    seconds: int
    ways: tuple[Way, ...]
    figures: tuple[Figure, ...]
    targets: tuple[Target, ...]
    integrity: tuple[Integrity, ...] = ()
    checksum_errors: Mapping[str, int] = {}
    failures: tuple[Failure, ...] = ()


D = TypeVar("D", bound=Document)

TOLD = 3
"""Of what is wrong with a document, which may be another one altogether."""


def read(model: type[D], text: str, source: str, made_by: str) -> D:
    """A document from its text. Raises `Unfit`, which says what makes such a one."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        lines = [f"{source}: {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in wrong[:TOLD]]
        lines = [line.replace(": : ", ": ") for line in lines]
        lines += [f"{source}: and {len(wrong) - TOLD} more"] if len(wrong) > TOLD else []
        raise Unfit("\n".join(lines), hint=f"It takes what this writes: {made_by}") from error
