"""What the page is told, as it comes: a thread looks once a second, while somebody listens."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from lab import threads
from lab.web.changes import Change, Facts, compared, facts
from lab.web.look import document
from lab.web.model import Seen

__all__ = ["Feed", "Looks", "Told"]

EVERY = 1.0
"""Seconds from the beginning of a look to the next one's."""

LINGER = 10.0
"""Seconds that looks go on after the last one who listens has gone: a page that is reloaded comes back."""

KEPT = 1000
"""Lines of the time line."""


class Looks(Protocol):
    """What looks at a lab."""

    def look(self) -> Seen:
        """How it is now."""

    def expire(self) -> None:
        """Have the next look ask for everything."""

    def rest(self) -> None:
        """Nobody looks any more."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is known at one moment."""

    number: int
    """Of looks so far."""
    state: Mapping[str, Any]
    """The document of `/api/state`."""
    changes: Sequence[tuple[int, Change]] = field(default_factory=tuple)
    """The time line so far, each line with its number."""


class Feed:
    """The latest look, and who wants to know of the next one."""

    def __init__(self, looks: Looks, begin: Seen, *, every: float = EVERY, linger: float = LINGER) -> None:
        self._source = looks
        self._every = every
        self._linger = linger
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._hurry = threading.Event()
        self._task: threads.Task[None] | None = None
        self._is_looking = False
        self._wanted = 0.0
        self._facts: Facts = {}
        self._changes: deque[tuple[int, Change]] = deque(maxlen=KEPT)
        self._count = 0
        self.looks = 0
        """Since somebody has begun to listen."""
        self.told = Told(0, document(begin))

    @contextmanager
    def listening(self, tell: Callable[[], None]) -> Iterator[None]:
        """Call `tell`, in another thread, after each look."""
        with self._lock:
            self._listeners.append(tell)
        self._begin()
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(tell)
                self._wanted = time.monotonic() + self._linger

    def hurry(self) -> None:
        """Look anew at once, and ask for everything: something was just changed."""
        self._source.expire()
        self._hurry.set()

    @property
    def error(self) -> BaseException | None:
        """Why no look follows any more, if that is so: a defect."""
        task = self._task
        return _error_of(task) if task is not None and task.ended else None

    def _begin(self) -> None:
        with self._lock:
            if not self._is_looking:
                self._is_looking = True
                before = self._task
                self._task = threads.start(
                    lambda: self._run(before), name="looks at the lab", tell=lambda _: self._tell()
                )

    def _run(self, before: threads.Task[None] | None) -> None:
        if before is not None:
            _error_of(before)  # waits until it has ended what it has begun
        self.looks = 0
        try:
            while self._is_wanted():
                began = time.monotonic()
                self._hurry.clear()
                self._take(self._source.look())
                self.looks += 1
                self._tell()
                self._hurry.wait(max(self._every - (time.monotonic() - began), self._every / 4))
        except BaseException:
            with self._lock:
                self._is_looking = False
            raise
        self._source.rest()

    def _tell(self) -> None:
        for tell in tuple(self._listeners):
            tell()

    def _is_wanted(self) -> bool:
        with self._lock:
            self._is_looking = bool(self._listeners) or time.monotonic() < self._wanted
            return self._is_looking

    def _take(self, seen: Seen) -> None:
        self._facts, found = compared(self._facts, facts(seen), seen.at)
        for change in found:
            self._count += 1
            self._changes.append((self._count, change))
        self.told = replace(
            self.told, number=self.told.number + 1, state=document(seen), changes=tuple(self._changes)
        )


def _error_of(task: threads.Task[None]) -> BaseException | None:
    try:
        task.result()
    except Exception as error:  # noqa: BLE001 - told by who shows it
        return error
    return None
