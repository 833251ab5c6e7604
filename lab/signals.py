"""Ctrl-C, SIGTERM, a terminal that goes away: one way to be interrupted, and to finish what must be whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

__all__ = ["Deferred", "as_interrupt", "shielded", "undisturbed"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def as_interrupt() -> None:
    """Let SIGTERM and SIGHUP end this program as Ctrl-C does: by `KeyboardInterrupt`, so it cleans up."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) ignores SIGHUP, `lab ... &` SIGINT
            signal.signal(number, signal.default_int_handler)


class Deferred:
    """Signals that were put off."""

    def __init__(self) -> None:
        self._came: list[int] = []
        self._heeded = 0

    def remember(self, number: int, _frame: FrameType | None) -> None:
        """Be a signal's handler."""
        self._came.append(number)

    def heed(self) -> None:
        """Raise `KeyboardInterrupt` if a signal has come: here, from where one can go back. Only once."""
        if self._came and not self._heeded:
            self._heeded = 1
            raise KeyboardInterrupt

    @property
    def insisted(self) -> bool:
        """Whether one came that was not heeded: somebody does not want to wait until all is tidy."""
        return len(self._came) > self._heeded

    def take_effect(self) -> None:
        """Let the first one do what it does, if none was heeded."""
        if self._came and not self._heeded:
            signal.raise_signal(self._came[0])


@contextmanager
def shielded() -> Iterator[Deferred]:
    """Put off signals until the block heeds them, or else until it is through. Main thread only."""
    deferred = Deferred()
    before = {
        number: signal.signal(number, deferred.remember)
        for number in SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield deferred
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        deferred.take_effect()


def undisturbed() -> AbstractContextManager[object]:
    """Put off signals until the block is through. In any thread: those but the first get none (signal(7))."""
    return shielded() if threading.current_thread() is threading.main_thread() else nullcontext()
