"""Telling a person what is going on: one line a step, with the time it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from lab.events import (
    Event,
    Listener,
    Noted,
    Reporter,
    StepBegan,
    StepCalledOff,
    StepEnded,
    StepFailed,
)

__all__ = ["Lines", "on_terminal"]


@contextmanager
def on_terminal(*others: Listener) -> Iterator[Reporter]:
    """Show on standard error what is reported, for as long as the context is open; others listen as well."""
    with Lines() as lines:
        yield Reporter(lines, *others)


class Lines:
    """A listener that prints a line for each finished step: time since the start, the step, its duration.

    On a terminal the steps under way turn below. All of it goes to standard error, so that standard
    output is the command's result alone.
    """

    def __init__(self) -> None:
        self._bars = Bars(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False, soft_wrap=True),
            transient=True,
        )
        self._started = time.monotonic()
        self._tasks: dict[int, TaskID] = {}
        self._printed = False

    def __enter__(self) -> "Lines":
        if self._bars.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars.console.is_terminal:
            self._bars.stop()
        if self._printed:
            with suppress(OSError):
                self._bars.console.print()

    def __call__(self, event: Event) -> None:
        """Show it."""
        match event:
            case StepBegan():
                self._tasks[event.step] = self._bars.add_task(event.name)
            case StepEnded():
                self._over(event.step, f"{event.name} ({event.seconds:.1f} s)")
            case StepCalledOff():
                self._over(event.step, f"called off: {event.name} ({event.seconds:.1f} s)")
            case StepFailed():
                self._over(event.step, f"failed: {event.name} ({event.seconds:.1f} s)")
            case Noted():
                self._print(event.text)

    def _over(self, step: int, text: str) -> None:
        self._bars.remove_task(self._tasks.pop(step))
        self._printed = True
        self._print(text)

    def _print(self, text: str) -> None:
        # Where a terminal has gone away, the work must still be undone.
        with suppress(OSError):
            self._bars.console.print(f"[{time.monotonic() - self._started:5.1f} s] {text}", markup=False)
