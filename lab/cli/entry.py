"""The process's first and last moments. Imports little, so that Ctrl-C is heeded from the start."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

__all__ = ["main"]

UNFIT = 2
INTERRUPTED = 130


def main() -> int:
    """Be `lab`, with the process's arguments; the exit status."""
    if refusal := _refusal(sys.platform):
        sys.stderr.write(f"lab: {refusal}\n")
        return UNFIT
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
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


def _refusal(system: str) -> str:
    """Why `lab` does not run on this system; empty where it does."""
    if system == "linux":
        return ""
    # Who makes a lab holds an abstract Unix socket, and free networks are looked up in /proc/net/route.
    return (
        f"this is {system}, and lab runs on Linux only. Run it in a Linux virtual machine with Docker in it."
    )


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
