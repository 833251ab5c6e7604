"""Time, as the daemon knows it."""

import queue
import random
import threading
import time
from typing import Protocol, TypeVar

__all__ = ["Queue", "Time", "now"]

T = TypeVar("T")
Next = TypeVar("Next", covariant=True)


class Queue(Protocol[Next]):
    """The receiving end of a queue, such as a `queue.SimpleQueue`."""

    def empty(self) -> bool:
        """Whether it is empty."""

    def get_nowait(self) -> Next:
        """The next item. Raises `queue.Empty`."""

    def get(self, *, timeout: float) -> Next:
        """The next item, waiting up to `timeout` seconds for it. Raises `queue.Empty`."""


def now() -> float:
    """Seconds since boot, sleep included, unaffected by the time of day: CLOCK_BOOTTIME (linux/time.h).

    A lease expires in etcd even while this machine is suspended, which CLOCK_MONOTONIC does not count.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Time:
    """The clock, and waiting; tests have their own."""

    def __init__(self) -> None:
        self.stopping = threading.Event()

    def now(self) -> float:
        """Seconds since an arbitrary moment; never goes back."""
        return now()

    def rest(self, seconds: float) -> None:
        """Wait that long, or until we are to stop."""
        self.stopping.wait(seconds)

    def spread(self, seconds: float) -> float:
        """That long, or up to half of it less, at random: those who wait for the same come one by one.

        When an etcd with hundreds of machines is back, each of them lists all leases.
        """
        return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nobody gains by foretelling it

    def receive(self, event_queue: Queue[T], seconds: float) -> T | None:
        """The next item of the queue, or None if none comes in that time."""
        try:
            return event_queue.get(timeout=seconds)
        except queue.Empty:
            return None
