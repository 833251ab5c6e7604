"""Ctrl-C and SIGTERM: one way to be interrupted, and a way to finish what must not be left half done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["as_interrupt", "shielded"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def as_interrupt() -> None:
    """Let SIGTERM end this program the way Ctrl-C does: by `KeyboardInterrupt`, so that it cleans up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


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
