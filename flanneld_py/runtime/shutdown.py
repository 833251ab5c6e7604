"""What must be done before the process ends, by whoever ends it.

A thread may be in a long call when a signal comes, so threads are not waited for; what is registered here is
done without them.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack

__all__ = ["finish", "forget", "register"]

_steps: list[Callable[[], None]] = []
_lock = threading.Lock()


def register(step: Callable[[], None]) -> None:
    """Have it called by `finish`. It must end by itself; if another thread is doing it, it must only wait."""
    with _lock:
        _steps.append(step)


def forget(step: Callable[[], None]) -> None:
    """It is done. One that is not registered, or no longer, is not an error."""
    with _lock:
        if step in _steps:
            _steps.remove(step)


def finish() -> None:
    """Do all that is not done yet, the last registered first, even if one of them raises."""
    with _lock:
        left = list(_steps)
    with ExitStack() as stack:
        for step in left:
            stack.callback(step)
