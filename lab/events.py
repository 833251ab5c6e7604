"""What happens, as values: who works reports steps and notes, and whoever listens shows or keeps them."""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, ClassVar

from lab.wait import Cancelled

__all__ = [
    "Event",
    "JsonLines",
    "Kept",
    "Listener",
    "Noted",
    "Reporter",
    "StepBegan",
    "StepCalledOff",
    "StepEnded",
    "StepFailed",
    "as_document",
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: ClassVar[str]
    """Its name where it is written down."""

    at: datetime
    parent: int | None
    """The step that it is a part of."""


@dataclass(frozen=True, slots=True)
class StepBegan(Event):
    """A step began."""

    kind: ClassVar[str] = "step-began"

    step: int
    """Its number, which no other step of this process has."""
    name: str


@dataclass(frozen=True, slots=True)
class _StepOver(Event):
    step: int
    name: str
    seconds: float
    """That it took."""


@dataclass(frozen=True, slots=True)
class StepEnded(_StepOver):
    """A step came to its end."""

    kind: ClassVar[str] = "step-ended"


@dataclass(frozen=True, slots=True)
class StepCalledOff(_StepOver):
    """A step was given up because what it was part of had failed, or on Ctrl-C."""

    kind: ClassVar[str] = "step-called-off"


@dataclass(frozen=True, slots=True)
class StepFailed(_StepOver):
    """A step failed."""

    kind: ClassVar[str] = "step-failed"

    error: str


@dataclass(frozen=True, slots=True)
class Noted(Event):
    """One thing that is no step."""

    kind: ClassVar[str] = "note"

    text: str


Listener = Callable[[Event], None]
"""Is told of one event after another, from whatever thread reports it."""


class _Stage:
    """Those who listen to one piece of work, and its numbering."""

    numbers = itertools.count(1)

    def __init__(self, listeners: tuple[Listener, ...]) -> None:
        self._listeners = listeners
        self._one_at_a_time = threading.Lock()

    def tell(self, event: Event) -> None:
        with self._one_at_a_time:
            for listener in self._listeners:
                listener(event)


class Reporter:
    """Where work reports what it does. Steps may overlap, in several threads.

    `step` answers the reporter of what happens within the step. Without listeners nothing is heard.
    """

    def __init__(self, *listeners: Listener) -> None:
        self._stage = _Stage(listeners)
        self._parent: int | None = None

    def _within(self, step: int) -> "Reporter":
        inner = Reporter()
        inner._stage, inner._parent = self._stage, step
        return inner

    @contextmanager
    def step(self, name: str) -> Iterator["Reporter"]:
        """A step, for as long as the context is open."""
        step, began = next(_Stage.numbers), time.monotonic()

        def over() -> tuple[datetime, int | None, int, str, float]:
            return _now(), self._parent, step, name, time.monotonic() - began

        self._stage.tell(StepBegan(_now(), self._parent, step, name))
        try:
            yield self._within(step)
        except (Cancelled, KeyboardInterrupt):
            self._stage.tell(StepCalledOff(*over()))
            raise
        except BaseException as error:
            self._stage.tell(StepFailed(*over(), str(error)))
            raise
        self._stage.tell(StepEnded(*over()))

    def note(self, text: str) -> None:
        """Say one thing that is no step."""
        self._stage.tell(Noted(_now(), self._parent, text))


def _now() -> datetime:
    return datetime.now(UTC)


def as_document(event: Event) -> dict[str, Any]:
    """An event as a JSON object."""
    return {"event": event.kind, **asdict(event), "at": event.at.isoformat(timespec="milliseconds")}


class Kept:
    """A listener that keeps each event as a JSON object."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Keep it."""
        self.events.append(as_document(event))


class JsonLines:
    """A listener that writes each event as a JSON object on a line of its own, at once.

    Where that fails, the work goes on, so that it can be undone; no more is written, and `lost` says why.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __call__(self, event: Event) -> None:
        """Write it."""
        if self.lost is not None:
            return
        try:
            self._stream.write(json.dumps(as_document(event)).encode() + b"\n")
        except OSError as error:
            self.lost = error
