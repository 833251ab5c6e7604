"""Time, as the daemon knows it."""

import queue
import threading
import time
from typing import TypeVar

__all__ = ["Time", "now"]

T = TypeVar("T")


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

    def receive(self, inbox: "queue.SimpleQueue[T]", seconds: float) -> T | None:
        """The next of the inbox, or None if nothing comes for so long."""
        try:
            return inbox.get(timeout=seconds)
        except queue.Empty:
            return None
