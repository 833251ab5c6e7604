"""A command's output: to standard output, which may be closed, full, or a pipe that nobody reads."""

import os
import sys

from flanneld_py.errors import Exit, Fatal

__all__ = ["discard", "write"]


def write(text: str) -> None:
    """Print it now. Raises `Fatal` if that fails, BrokenPipeError if nobody wants to read on."""
    if sys.stdout is None:
        raise Fatal("Writing to standard output: it is closed: open it, or send it to a file", code=Exit.FILE)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        discard()
        raise
    except OSError as error:
        discard()
        raise Fatal(
            f"Writing to standard output: {error.strerror}: make room, or send it elsewhere", code=Exit.FILE
        ) from error


def discard() -> None:
    """Discard what could not be printed: the interpreter would try again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
