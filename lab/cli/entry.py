"""The process's first and last moments. Imports little, so that Ctrl-C works from the start."""

import gc
import os
import signal
import sys
from contextlib import suppress
from types import FrameType

__all__ = ["main"]

UNFIT = 2
INTERRUPTED = 130


def main() -> int:
    """Run `lab` with the process's arguments; return the exit status."""
    if refusal := _refusal(sys.platform):
        sys.stderr.write(f"lab: {refusal}\n")
        return UNFIT
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heeded = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heeded:
        signal.signal(number, _at_once)
    _as_utf8()
    gc.disable()  # until the verb's modules are there: see `Verbs`
    try:
        from lab import streams

        streams.adopt()
        from lab.cli.group import run
        from lab.signals import as_interrupt

        as_interrupt()
        return run(sys.argv[1:])
    except KeyboardInterrupt:  # just before `run` began, or a second one just before it ended
        _say_interrupted()
        return INTERRUPTED
    finally:
        # Only the interpreter's shutdown is left, during which Python would print a traceback.
        for number in heeded:
            signal.signal(number, signal.SIG_DFL)


def _refusal(system: str) -> str:
    """Why `lab` does not run on this system; empty where it does."""
    if system == "linux":
        return ""
    # Making a lab is locked by an abstract Unix socket, and free networks are looked up in /proc/net/route.
    return (
        f"this is {system}, and lab runs on Linux only. Run it in a Linux virtual machine with Docker in it."
    )


def _at_once(_number: int, _frame: FrameType | None) -> None:
    """Exit before anything has begun: an exception could surface anywhere in what is being imported."""
    _say_interrupted()
    os._exit(INTERRUPTED)


def _say_interrupted() -> None:
    with suppress(OSError):
        os.write(2, b"lab: interrupted\n")


def _as_utf8() -> None:
    """Restart in Python's UTF-8 mode (PEP 540) if the locale makes Python use another encoding.

    Arguments, file names and the output of other programs are then taken to be UTF-8.
    """
    if sys.getfilesystemencoding() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves
