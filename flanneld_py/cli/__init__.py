"""`flanneld`: the process's first moments. Imports little, so that Ctrl-C is heeded from the start."""

import os
import signal
import sys
from types import FrameType

from flanneld_py import __version__

__all__ = ["main"]

INTERRUPTED = 130


def main() -> int:
    """Be `flanneld`, with the process's arguments and environment; the exit status."""
    if sys.argv[1:] in (["-version"], ["--version"]):  # `lab status` asks every machine, each time
        sys.stderr.write(f"{__version__}\n")
        return 0
    heeds = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if heeds:
        signal.signal(signal.SIGINT, _at_once)
    from flanneld_py.cli.program import run

    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return run()


def _at_once(_number: int, _frame: FrameType | None) -> None:
    """End while nothing has begun: an exception could come up anywhere in what is being imported."""
    os._exit(INTERRUPTED)
