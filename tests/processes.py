"""Programs that a test starts and looks at while they run."""

import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from lab.deadlines import patience

__all__ = ["running"]

LONGEST: Final = 300.0
"""Seconds; then it is killed, whatever it is waited for, so that the test fails and not the whole run."""


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[Any]"]:
    """As `subprocess.Popen`, whose block waits for the program's end; where the block fails, it is killed.

    Ctrl-C ends it, even where a shell's background has these tests ignore that.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a program begins without a handler
    try:
        program = subprocess.Popen(command, **options)
    finally:
        signal.signal(signal.SIGINT, before)
    clock = threading.Timer(LONGEST * patience(), program.kill)
    clock.daemon = True
    clock.start()
    try:
        with program:
            try:
                yield program
            except BaseException:
                program.kill()
                raise
    finally:
        clock.cancel()
