"""Waiting on a named condition, with a deadline; the only place in the lab where time is let pass."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lab.errors import LabError

__all__ = ["Cancelled", "NotYet", "TimedOut", "passing", "until"]

T = TypeVar("T")

LONGEST_REST = 1.0
"""Seconds that a slow probe is rested for at most."""

HEED = 0.2
"""Seconds within which a signal is heeded that the kernel has another thread take."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """What a probe answers while its condition does not hold: what it saw instead."""

    seen: object


class TimedOut(LabError):
    """A condition did not come to hold in time; says what was seen last."""


class Cancelled(Exception):
    """The wait was called off because what it was part of has failed or was interrupted."""


def until(
    probe: Callable[[], T | NotYet],
    *,
    what: str,
    timeout: float,
    interval: float = 0.05,
    cancel: threading.Event | None = None,
    hint: str = "",
) -> T:
    """Ask `probe` until it answers something else than `NotYet`, and return that.

    `timeout` and `interval` are seconds. The probe is asked at least once, and rested for as long as it
    takes: on a busy machine looks must not hold up what they look at. Raises `TimedOut` with what the
    probe saw last, or `Cancelled` as soon as `cancel` is set. What it saw last was asked for after that
    time: a machine that stood still, or a slow probe, is not taken for a condition that does not hold.
    """
    pause = cancel or threading.Event()
    deadline = time.monotonic() + timeout
    while True:
        if pause.is_set():
            raise Cancelled(what)
        asked_at = time.monotonic()
        is_last = asked_at >= deadline
        answer = probe()
        if not isinstance(answer, NotYet):
            return answer
        if is_last:
            raise TimedOut(f"waited {timeout:.0f} s for {what}; last seen: {answer.seen}", hint=hint)
        pause.wait(max(interval, min(time.monotonic() - asked_at, LONGEST_REST)))


def passing(seconds: float, cancel: threading.Event | None = None) -> None:
    """Let so much time pass: what somebody has asked for is to last. Ctrl-C ends it as anything else.

    Raises `Cancelled` as soon as `cancel` is set.
    """
    pause, deadline = cancel or threading.Event(), time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if pause.wait(min(left, HEED)):
            raise Cancelled(f"{seconds:g} s to pass")
