"""Virtual time: what happens when, processes that wait for it, and processors that they share. Pure."""

import math
from collections.abc import Callable, Generator
from functools import partial
from heapq import heappop, heappush
from typing import Any, TypeAlias

__all__ = ["Begin", "Process", "Processor", "Steps", "Timeline"]

Begin: TypeAlias = Callable[[Callable[..., None]], None]
"""Something that takes time: it is given what must be called, with the outcome, when it is over."""

Steps: TypeAlias = Generator[Begin, Any, Any]
"""What a process does: it yields what it waits for, and is sent the outcome."""


class Timeline:
    """What is going to happen, in its order; at one moment, in the order in which it was asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._asked = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Have this happen when so much time has passed."""
        self._asked += 1
        heappush(self._due, (self.now + seconds, self._asked, act))

    def rest(self, seconds: float) -> Begin:
        """For a process: wait so long."""
        return lambda resume: self.after(seconds, resume)

    def run(self, steps: Steps) -> None:
        """Let everything happen until this process has ended."""
        process = Process(steps)
        process.resume()
        due = self._due
        while process.alive:
            if not due:
                raise ValueError("a simulated process waits for something that never happens")
            self.now, _, act = heappop(due)
            act()


class Process:
    """Steps, one after another, until they end or it is killed."""

    __slots__ = ("_steps", "alive")

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self.alive = True

    def resume(self, outcome: object = None) -> None:
        """What it waited for is over."""
        if not self.alive:
            return
        try:
            begin = self._steps.send(outcome)
        except StopIteration:
            self.alive = False
        else:
            begin(self.resume)

    def kill(self) -> None:
        """Nothing more is done."""
        self.alive = False


class Processor:
    """Cores that all who have work share in equal parts, each of them one core at most.

    Linux's scheduler does that (sched(7)); so who needs a little waits for all others as often as it has
    something to do. So does a link do, with one core for all the bytes that it passes in a second.
    """

    def __init__(self, timeline: Timeline, cores: float) -> None:
        self._timeline = timeline
        self._cores = cores
        self._served = self._at = 0.0
        """Work that each has had, if it was here from the beginning; and up to when."""
        self._turn = self._first = 0
        self._next = 0
        self._work: list[tuple[float, int]] = []
        self._done: dict[int, Callable[[], None]] = {}

    def work(self, seconds: float) -> Begin:
        """For a process: take so many seconds of one core."""

        def begin(resume: Callable[[], None]) -> None:
            self.take(seconds, resume)

        return begin

    def work_first(self, seconds: float) -> Begin:
        """The same, of a core that nobody else has meanwhile: who mostly sleeps is served when it wakes."""

        def begin(resume: Callable[[], None]) -> None:
            def done() -> None:
                self._give_first(-1)
                resume()

            self._give_first(1)
            self._timeline.after(seconds, done)

        return begin

    def take(self, seconds: float, done: Callable[[], None]) -> int:
        """Call `done` when so many seconds of one core were had. Returns what `cancel` wants."""
        if math.isinf(self._cores):
            self._timeline.after(seconds, done)
            return 0
        self._advance()
        self._turn += 1
        heappush(self._work, (self._served + seconds, self._turn))
        self._done[self._turn] = done
        self._look_again()
        return self._turn

    def cancel(self, turn: int) -> None:
        """What was left of that is not done; nothing, if nothing was."""
        if turn in self._done:
            self._advance()
            del self._done[turn]
            self._look_again()

    def _give_first(self, more: int) -> None:
        self._advance()
        self._first += more
        self._look_again()

    def _advance(self) -> None:
        now = self._timeline.now
        self._served += (now - self._at) * self._rate()
        self._at = now

    def _rate(self) -> float:
        return min(1.0, (self._cores - self._first) / max(1, len(self._done)))

    def _look_again(self) -> None:
        self._next += 1
        while self._work and self._work[0][1] not in self._done:
            heappop(self._work)
        if self._work:
            left = max(0.0, self._work[0][0] - self._served)
            self._timeline.after(left / self._rate(), partial(self._look, self._next))

    def _look(self, number: int) -> None:
        if number != self._next:  # somebody has come, or gone, meanwhile
            return
        self._advance()
        done = self._done.pop(heappop(self._work)[1])
        done()
        self._look_again()
