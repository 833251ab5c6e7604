"""Telling a person what is going on: one line a step, with the time it took."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Protocol

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from lab.wait import Cancelled

__all__ = ["Lines", "Progress", "Silent"]


class Progress(Protocol):
    """Where steps are reported. Steps may overlap, in several threads."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Show that the step `name` runs for as long as the context is open."""

    def note(self, text: str) -> None:
        """Say one thing that is no step."""


class Silent:
    """Reports nothing; for tests and for `--json`."""

    @contextmanager
    def step(self, name: str) -> Iterator[None]:  # noqa: ARG002 - the protocol's
        """Run the step without a word."""
        yield

    def note(self, text: str) -> None:
        """Drop the text."""


class Lines:
    """A line for each finished step: time since the start, the step, its own duration.

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
        self.durations: dict[str, float] = {}

    def __enter__(self) -> "Lines":
        if self._bars.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars.console.is_terminal:
            self._bars.stop()
        if self.durations:
            with suppress(OSError):
                self._bars.console.print()

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Show the step while it runs, and one line when it ends."""
        began = time.monotonic()
        task = self._bars.add_task(name)
        mark = "failed: "
        try:
            yield
            mark = ""
        except (Cancelled, KeyboardInterrupt):
            mark = "called off: "
            raise
        finally:
            took = self.durations[name] = time.monotonic() - began
            self._bars.remove_task(task)
            self.note(f"{mark}{name} ({took:.1f} s)")

    def note(self, text: str) -> None:
        """Print one line."""
        # Where a terminal has gone away, the work must still be undone.
        with suppress(OSError):
            self._bars.console.print(f"[{time.monotonic() - self._started:5.1f} s] {text}", markup=False)
