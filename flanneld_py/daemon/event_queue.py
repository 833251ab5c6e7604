"""What the watch delivers, on its way to the lease loop: our own key comes first, a burst comes together."""

import math
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from flanneld_py.registry import Announcement, LeaseChanges, LeaseEvent, Reset, WatchMessage

__all__ = ["BATCH", "EventQueue"]

BATCH: Final = 256
"""Changes that are handed over at once; our own lease is checked in between."""

FIRST_HOLD: Final = 0.05
LONGEST_HOLD: Final = 0.5
"""Seconds for which peers' changes are held back after the last ones, see `EventQueue`."""


SHORTEST_WAIT: Final = 0.001
"""Seconds. Less is not waited for: after it the clock may not have advanced."""


class EventQueue:
    """A queue from the thread of a watch to that of the loop. `now` is the clock of `oldest`, in seconds.

    A change of our own key is in it twice: in its place among the others, and in `own`, which the loop checks
    before anything else. So a lost lease is not held for as long as peers' changes take.

    A change that comes alone is handed over at once. What follows soon is held back for a moment, and then
    handed over together with all that has come meanwhile: the longer the burst, the longer the moments. Where
    hundreds of machines start, each hears of all others one by one, and most of what a change costs is the
    same for one as for many: waking the loop, asking the kernel, hearing from the kernel that it was done.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._hold, self._held_until = FIRST_HOLD, -math.inf
        self._filled = threading.Condition()
        self._watch = 0  # the number of the current watch; what an older one still delivers does not count
        self._is_own: Callable[[LeaseEvent], bool] = lambda _: False
        self._own: deque[LeaseEvent] = deque()
        self._reset: Reset | None = None
        self._waiting: deque[tuple[float, LeaseChanges | Announcement]] = deque()
        self._taken_at: float | None = None
        self._awake = False

    # For the watch

    def begin(self, is_own: Callable[[LeaseEvent], bool]) -> Callable[[WatchMessage], None]:
        """Forget what came so far. Returns what a new watch must call with each message."""
        with self._filled:
            self._watch += 1
            self._is_own = is_own
            self._clear()
            number = self._watch

        def arrived(message: WatchMessage) -> None:
            with self._filled:
                if number == self._watch:
                    self._put(message)
                    if not self.empty():  # who waits for what is held back wakes by itself
                        self._filled.notify()

        return arrived

    def end(self) -> None:
        """Accept nothing until the next watch."""
        with self._filled:
            self._watch += 1
            self._clear()

    def _put(self, message: WatchMessage) -> None:
        if isinstance(message, Reset):
            # A list follows, which includes what still waits.
            self._reset = message
            self._waiting.clear()
            return
        self._waiting.append((self._now(), message))
        if isinstance(message, LeaseChanges):
            self._own += filter(self._is_own, message.events)

    def _clear(self) -> None:
        self._own.clear()
        self._waiting.clear()
        self._reset = self._taken_at = None
        self._hold, self._held_until = FIRST_HOLD, -math.inf

    # For the loop

    def own(self) -> tuple[LeaseEvent, ...]:
        """What has happened to our own key since the last call. Returns at once."""
        with self._filled:
            own = tuple(self._own)
            self._own.clear()
            return own

    def empty(self) -> bool:
        """Whether `get` would wait."""
        return not (self._awake or self._own or self._reset or (self._waiting and not self.held()))

    def held(self) -> float:
        """Seconds for which peers' changes are still held back; 0 if they are not."""
        left = self._held_until - self._now()
        return left if left > SHORTEST_WAIT else 0.0

    def get_nowait(self) -> WatchMessage | None:
        """The next message; None if something has happened to our own key, or after `wake`.

        Raises `queue.Empty`. It counts as waiting until `done`.
        """
        with self._filled:
            awake, self._awake = self._awake, False
            if awake or self._own:
                return None
            if self._reset is not None:
                reset, self._reset = self._reset, None
                return reset
            if not self._waiting or self.held():
                raise queue.Empty
            # Before it is removed, so that whoever asks for the oldest sees either.
            self._taken_at = self._waiting[0][0]
            return self._together(self._waiting.popleft()[1])

    def _together(self, first: LeaseChanges | Announcement) -> LeaseChanges | Announcement:
        """The message, and with changes all changes that come directly after it, up to a batch."""
        if not isinstance(first, LeaseChanges):
            return first
        events = list(first.events)
        while self._waiting:
            following = self._waiting[0][1]
            if not isinstance(following, LeaseChanges) or len(events) + len(following.events) > BATCH:
                break
            events += following.events
            self._waiting.popleft()
        return LeaseChanges(tuple(events))

    def get(self, *, timeout: float) -> WatchMessage | None:
        """The same, after waiting up to `timeout` seconds."""
        deadline = self._now() + timeout
        with self._filled:
            while self.empty() and (left := deadline - self._now()) > 0:
                held = self.held()
                self._filled.wait(min(left, held) if held else left)
        return self.get_nowait()

    def done(self) -> float:
        """What was taken last has taken effect; seconds since it came, 0 if that was before `begin`."""
        with self._filled:
            taken_at, self._taken_at = self._taken_at, None
            if taken_at is None:
                return 0.0
            now = self._now()
            if not self._waiting:
                in_a_burst = taken_at <= self._held_until
                self._hold = min(2 * self._hold, LONGEST_HOLD) if in_a_burst else FIRST_HOLD
                self._held_until = now + self._hold
            return now - taken_at

    # For any thread

    def wake(self) -> None:
        """Wake whoever waits, or else whoever waits next, once: something else has happened."""
        with self._filled:
            self._awake = True
            self._filled.notify()

    def oldest(self) -> float | None:
        """When the oldest message came that has not taken effect yet; None if all have. Does not block."""
        taken_at = self._taken_at
        if taken_at is not None:
            return taken_at
        try:
            return self._waiting[0][0]
        except IndexError:
            return None
