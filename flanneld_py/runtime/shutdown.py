"""What must be done before the process ends, by whoever ends it.

Whatever is at work when a signal comes may be in a call that takes long, so it is not waited for; then what
is registered here is done without it.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack

__all__ = ["finish", "forget", "register"]

_steps: list[Callable[[], None]] = []
_lock = threading.Lock()


def register(step: Callable[[], None]) -> None:
    """Have it called by `finish`. It must end by itself, and do nothing, but wait, if another does it."""
    with _lock:
        _steps.append(step)


def forget(step: Callable[[], None]) -> None:
    """It is done. Not registered, or not any more, is no error."""
    with _lock:
        if step in _steps:
            _steps.remove(step)


def finish() -> None:
    """Do all that is not yet done, the last registered first, also where one of them raises."""
    with _lock:
        left = list(_steps)
    with ExitStack() as stack:
        for step in left:
            stack.callback(step)
