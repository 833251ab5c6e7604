"""How our daemon behaves towards etcd: its numbers and rules, without anything that it does. Pure.

To the laboratory a flanneld is a program, which it does not import (ADR 3, 18). These are therefore copies of
what `flanneld_py` has under the same names: `tests/lab/test_simulation_policies.py` holds one to the other,
number by number, and has whole clusters simulated with the daemon's own classes in their place.
"""

import math
from dataclasses import dataclass
from typing import Final

__all__ = [
    "BATCH",
    "CHECK",
    "LONG",
    "RELOOK",
    "SPREAD",
    "TIMEOUT",
    "Backoff",
    "Deadline",
    "Holding",
    "Watchdog",
]

FIRST_DELAY: Final = 0.05
LONGEST_DELAY: Final = 2.0
SPREAD: Final = 0.5
"""A delay is shorter at random, down to this part of it."""

FIRST_HOLD: Final = 0.05
LONGEST_HOLD: Final = 0.5
SHORTEST_WAIT: Final = 0.001
BATCH: Final = 256

PROBE: Final = 2.0
PROBE_ANYWAY: Final = 10.0
LISTS_SHARE: Final = 0.1
LONGEST_REST: Final = 30.0

TIMEOUT: Final = 2.0
"""Seconds that one call of etcd usually has."""

LONGEST: Final = 4
"""How many times as long it has at most."""

LONG: Final = 2.0
"""Who took longer from asking for a lease to using it lists the leases once more."""

RELOOK: Final = 2.0
"""Seconds between looks at its own devices."""

CHECK: Final = 10.0
"""Seconds between comparisons of all entries with the kernel's."""


@dataclass(slots=True)
class Backoff:
    """Delays between attempts that fail, one after another."""

    _delay: float = FIRST_DELAY

    def delay(self) -> float:
        """Seconds until the next attempt, before they are spread."""
        now, self._delay = self._delay, min(self._delay * 2, LONGEST_DELAY)
        return now


class Deadline:
    """Seconds for one call: twice as many after each that was not answered in time, half after an answer."""

    __slots__ = ("seconds", "usual")

    def __init__(self, usual: float) -> None:
        self.seconds = self.usual = usual

    def missed(self) -> None:
        """There was no answer in time."""
        self.seconds = min(2 * self.seconds, LONGEST * self.usual)

    def met(self) -> None:
        """There was one."""
        self.seconds = max(self.seconds / 2, self.usual)


class Watchdog:
    """When the endpoint is asked whether it still answers, and how long is waited after a watch has ended."""

    __slots__ = ("_backoff", "_begun_at", "_list_again_at", "_probe_at", "_silent_at")

    def __init__(self, now: float) -> None:
        self._backoff = Backoff()
        self._begun_at = math.inf
        self._list_again_at = now
        self._silent_at = self._probe_at = now + PROBE

    def begun(self, now: float, took: float = 0.0) -> None:
        """A watch has begun, after a list that took so many seconds."""
        self._begun_at = now
        self._list_again_at = now + min(took * (1 / LISTS_SHARE - 1), LONGEST_REST)

    def heard(self, now: float) -> None:
        """The endpoint has said something."""
        self._silent_at = now + PROBE

    def probed(self, now: float) -> None:
        """It has answered."""
        self._silent_at, self._probe_at = now + PROBE, now + PROBE_ANYWAY

    def must_probe(self, now: float, *, idle: bool) -> bool:
        """Whether it is to be asked now."""
        return now >= self._probe_at or (now >= self._silent_at and idle)

    def time_left(self, now: float) -> float:
        """Seconds until it counts as silent."""
        return max(0.0, self._silent_at - now)

    def ended(self, now: float) -> Backoff:
        """A watch has ended, or could not begin."""
        if now - self._begun_at > PROBE:
            self._backoff = Backoff()
        self._begun_at = math.inf
        return self._backoff

    def rest(self, now: float, delay: float) -> float:
        """Seconds until the next attempt, before they are spread."""
        return max(delay, self._list_again_at - now)


class Holding:
    """How long changes of a burst are held back, to be put into force together (`EventQueue.done`)."""

    __slots__ = ("_hold", "until")

    def __init__(self) -> None:
        self._hold = FIRST_HOLD
        self.until = -math.inf

    def held(self, now: float) -> float:
        """Seconds for which changes are still held back."""
        left = self.until - now
        return left if left > SHORTEST_WAIT else 0.0

    def done(self, now: float, taken_at: float, *, waiting: bool) -> None:
        """What came at `taken_at` is in force; `waiting`: more has come meanwhile, which is taken at once."""
        if not waiting:
            in_a_burst = taken_at <= self.until
            self._hold = min(2 * self._hold, LONGEST_HOLD) if in_a_burst else FIRST_HOLD
            self.until = now + self._hold
