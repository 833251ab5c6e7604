"""Time, as the daemon knows it."""

import queue
import threading
import time
from typing import Protocol, TypeVar

__all__ = ["Queue", "Time", "now"]

T = TypeVar("T")
Next = TypeVar("Next", covariant=True)


class Queue(Protocol[Next]):
    """The end of a queue at which things are taken out, such as a `queue.SimpleQueue`."""

    def empty(self) -> bool:
        """Whether there is nothing to take."""

    def get_nowait(self) -> Next:
        """The next. Raises `queue.Empty`."""

    def get(self, *, timeout: float) -> Next:
        """The next, waited for so many seconds. Raises `queue.Empty`."""


def now() -> float:
    """Seconds since boot, sleep included, whatever is done to the time of day: CLOCK_BOOTTIME (linux/time.h).

    A lease runs out in etcd also while this machine is suspended, which CLOCK_MONOTONIC does not count.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Time:
    """The clock, and letting time pass; a test puts its own in place."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def now(self) -> float:
        """Seconds, from any beginning, that never go back."""
        return now()

    def rest(self, seconds: float) -> None:
        """Do nothing for so long, or until we are to stop."""
        self.stopping.wait(seconds)

    def receive(self, event_queue: Queue[T], seconds: float) -> T | None:
        """The next of the inbox, or None if nothing comes for so long."""
        try:
            return event_queue.get(timeout=seconds)
        except queue.Empty:
            return None
