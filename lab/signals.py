"""Ctrl-C, SIGTERM, a terminal that goes away: one way to be interrupted, and to finish what must be whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["as_interrupt", "shielded"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def as_interrupt() -> None:
    """Let SIGTERM and SIGHUP end this program as Ctrl-C does: by `KeyboardInterrupt`, so it cleans up."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1) ignores SIGHUP, `lab ... &` SIGINT
            signal.signal(number, signal.default_int_handler)


@contextmanager
def shielded() -> Iterator[None]:
    """Put off signals until the block is through; then the first of them takes effect. Main thread only."""
    came: list[int] = []

    def remember(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
