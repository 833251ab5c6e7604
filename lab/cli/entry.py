"""The process's first and last moments. Imports little, so that Ctrl-C is heeded from the start."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

__all__ = ["main"]

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Be `lab`, with the process's arguments; the exit status."""
    heeded = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, _at_once)
    _as_utf8()
    try:
        from lab import streams

        streams.adopt()
        from lab.cli.group import run
        from lab.signals import as_interrupt

        as_interrupt()
        return run(sys.argv[1:])
    except KeyboardInterrupt:  # as `run` was about to begin, or a second one as it was about to end
        _say_interrupted()
        return INTERRUPTED
    finally:
        # What is left is the interpreter's own end, where Python would print a traceback.
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)


def _at_once(_number: int, _frame: FrameType | None) -> None:
    """End while nothing has begun: an exception could come up anywhere in what is being imported."""
    _say_interrupted()
    os._exit(INTERRUPTED)


def _say_interrupted() -> None:
    with suppress(OSError):
        os.write(2, b"lab: interrupted\n")


def _as_utf8() -> None:
    """Begin anew in Python's UTF-8 mode (PEP 540) where the locale has Python use another encoding.

    What was typed is UTF-8 then: arguments, names of files, and all that other programs say.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves
