"""Python imports this at the start of every program that a test starts (see `tests/conftest.py`).

An error in a finalizer or in a thread is printed, and the program goes on as if nothing had happened. Under
test it ends there: the printed error is then its last word, and its exit status is EX_SOFTWARE of sysexits.h.
"""

import os
import sys
import threading

STATUS = 70


def end_unraisable(told: "sys.UnraisableHookArgs") -> None:
    sys.__unraisablehook__(told)
    _end()


def end_thread(told: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(told)
    if told.exc_type is not SystemExit:
        _end()


def _end() -> None:
    sys.stderr.flush()
    os._exit(STATUS)


sys.unraisablehook = end_unraisable
threading.excepthook = end_thread
