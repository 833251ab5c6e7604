"""When to ask whether a watched endpoint still answers, and how long to wait after a watch has ended. Pure.

For every loop that lists and watches: a process that is stopped never closes its connections, so a watch that
says nothing may have nothing to say, or nobody behind it.
"""

from flanneld_py.runtime.backoff import Backoff

__all__ = ["Watchdog"]

PROBE = 2.0
"""Seconds of silence after which the endpoint is asked whether it still answers."""

PROBE_ANYWAY = 10.0
"""Seconds after which it is asked even if the watch is never silent."""


LISTS_SHARE = 0.1
"""Of the time may be spent on lists, however often watches end, as far as `LONGEST_REST` lets that be.

A machine, or an etcd, that cannot keep up misses the deadline of a probe. A list costs hundreds of times as
much as the probe, so hundreds of daemons that each began anew at once would keep it from ever recovering.
"""

LONGEST_REST = 30.0
"""Seconds that are waited for that reason at most; nothing is heard of other machines meanwhile."""


class Watchdog:
    """One loop's watches, one after another. All times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        self._backoff = Backoff()
        self._begun_at = float("inf")
        self._list_again_at = now
        self._silent_at = self._probe_at = now + PROBE

    def begun(self, now: float, took: float = 0.0) -> None:
        """A watch has begun, after a list that took so many seconds."""
        self._begun_at = now
        self._list_again_at = now + min(took * (1 / LISTS_SHARE - 1), LONGEST_REST)

    def heard(self, now: float) -> None:
        """The registry answered, or the watch delivered something."""
        self._silent_at = now + PROBE

    def probed(self, now: float) -> None:
        """The endpoint still answers."""
        self._silent_at, self._probe_at = now + PROBE, now + PROBE_ANYWAY

    def must_probe(self, now: float, *, idle: bool) -> bool:
        """Whether to ask now. `idle`: nothing that was delivered waits to be taken."""
        return now >= self._probe_at or (now >= self._silent_at and idle)

    def time_left(self, now: float) -> float:
        """Seconds to wait for the watch until it counts as silent."""
        return max(0.0, self._silent_at - now)

    def ended(self, now: float) -> Backoff:
        """The watch has ended, or could not begin: how to wait and complain before the next attempt.

        Delays start over after a watch that lasted, but not after one that broke as soon as it had begun.
        """
        if now - self._begun_at > PROBE:
            self._backoff = Backoff()
        self._begun_at = float("inf")
        return self._backoff

    def rest(self, now: float, delay: float) -> float:
        """Seconds to wait before the next attempt: at least `delay`, and longer soon after a long list."""
        return max(delay, self._list_again_at - now)
