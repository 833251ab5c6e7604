"""Connecting this process's standard streams to a command in a container."""

import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType

from lab.engine import STDERR, Engine, Exec
from lab.errors import Unfit

__all__ = ["connect"]


def connect(
    engine: Engine, container: str, argv: Sequence[str], *, stdin: bool = False, terminal: bool = False
) -> int:
    """Run a command with our standard output and error as its own; its exit status.

    Nothing is added to what it prints. `stdin` hands on our standard input; `terminal` gives the command
    a terminal of its own, as `docker exec -t` does, which makes one stream of its output.
    """
    if stdin and terminal and not sys.stdin.isatty():
        raise Unfit("-i with -t needs a terminal here, and standard input is none", hint="Leave out -t.")
    session = engine.open_exec(container, argv, stdin=stdin, tty=terminal)
    with _raw_terminal() if stdin and terminal else nullcontext(), _size(session, terminal):
        if stdin:
            threading.Thread(target=_pump, args=(session,), daemon=True).start()
        for stream, data in session.frames():
            ours = sys.stderr.buffer if stream == STDERR else sys.stdout.buffer
            ours.write(data)
            ours.flush()
    return session.exit_code()


def _pump(session: Exec) -> None:
    with suppress(OSError):  # the command has ended; its exit status says the rest
        while data := os.read(sys.stdin.fileno(), 65536):
            session.send(data)
        session.end_input()


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Hand on every key as it is typed: Ctrl-C belongs to the command."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _size(session: Exec, terminal: bool) -> Iterator[None]:
    """Keep the command's terminal as large as ours."""
    if not terminal:
        yield
        return

    def tell(_signal: int = 0, _frame: FrameType | None = None) -> None:
        columns, rows = shutil.get_terminal_size()
        session.resize(rows, columns)

    tell()
    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
