"""Several things at the same time, waited for so that Ctrl-C always ends the wait.

The lab's only home of threads: whatever one of them raises reaches who waits for it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["HEED", "Late", "Task", "as_ended", "each", "receive", "start"]

T = TypeVar("T")
R = TypeVar("R")

HEED = 0.2
"""Seconds within which a wait heeds a signal."""


class Late(Exception):
    """What was waited for is still under way."""


class Task(Generic[R]):
    """Something under way in a thread of its own, whose result is to be asked for.

    The thread is a daemon: on Ctrl-C a long call of the engine does not hold up this process, as a thread of
    concurrent.futures would.
    """

    def __init__(self, act: Callable[[], R], name: str, tell: Callable[["Task[R]"], None]) -> None:
        self._act = act
        self._tell = tell
        self._ended = threading.Event()
        self._answer: R
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        try:
            self._answer = self._act()
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that asks for the result
            self._error = error
        self._ended.set()
        self._tell(self)

    @property
    def ended(self) -> bool:
        """Whether there is a result."""
        return self._ended.is_set()

    def result(self, timeout: float | None = None) -> R:
        """What it answered, or raises what it raised; `Late` if that takes longer than these seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._ended.wait(HEED if deadline is None else min(HEED, deadline - time.monotonic())):
            if deadline is not None and time.monotonic() >= deadline:
                raise Late
        if self._error is not None:
            raise self._error
        return self._answer


def start(
    act: Callable[[], R], *, name: str = "", tell: Callable[[Task[R]], None] = lambda _: None
) -> Task[R]:
    """Begin something in a thread of its own. `tell` is called there, with the task, when it has ended."""
    return Task(act, name, tell)


def as_ended(act: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What `act` answers for each item, as soon as it does; all at the same time. Raises what one raised."""
    ended: queue.SimpleQueue[Task[R]] = queue.SimpleQueue()
    tasks = [start(lambda item=item: act(item), tell=ended.put) for item in items]  # type: ignore[misc]
    for _ in tasks:
        yield receive(ended).result()


def each(act: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `act` answers for each item, in their order; all at the same time.

    Raises what the first one to fail raised, once all have ended.
    """
    ended: queue.SimpleQueue[Task[R]] = queue.SimpleQueue()
    tasks = [start(lambda item=item: act(item), tell=ended.put) for item in items]  # type: ignore[misc]
    for task in [receive(ended) for _ in items]:
        task.result()
    return [task.result() for task in tasks]


def receive(inbox: "queue.SimpleQueue[T]", heed: Callable[[], None] = lambda: None) -> T:
    """The next of a queue, however long it takes; `heed` is called now and then, and may raise.

    Signals are heeded meanwhile, also those that the kernel has another thread take, above all while that
    starts a thread or a program: they do not wake this one, where Python calls the handler.
    """
    while True:
        heed()
        try:
            return inbox.get(timeout=HEED)
        except queue.Empty:
            continue
