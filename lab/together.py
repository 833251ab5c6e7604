"""Several things at the same time, waited for so that Ctrl-C always ends the wait."""

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["each", "receive"]

T = TypeVar("T")
R = TypeVar("R")

HEED = 0.2
"""Seconds within which a wait heeds a signal."""


def each(act: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What `act` answers for each item, in their order; all at the same time.

    Raises what the first one to fail raised, once all have ended. The threads are daemons: on Ctrl-C a long
    call of the engine does not hold up this process, as those of concurrent.futures would.
    """
    answers: dict[int, R] = {}
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(number: int) -> None:
        try:
            answers[number] = act(items[number])
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            ended.put(error)
        else:
            ended.put(None)

    for number in range(len(items)):
        threading.Thread(target=run, args=(number,), daemon=True).start()
    failed = [error for _ in items if (error := receive(ended)) is not None]
    if failed:
        raise failed[0]
    return [answers[number] for number in range(len(items))]


def receive(inbox: "queue.SimpleQueue[T]") -> T:
    """The next of a queue, however long it takes.

    Signals are heeded meanwhile, also those that the kernel has another thread take, above all while that
    starts a thread or a program: they do not wake this one, where Python calls the handler.
    """
    while True:
        try:
            return inbox.get(timeout=HEED)
        except queue.Empty:
            continue
