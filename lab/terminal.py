"""Connecting this process's standard streams to a command in a container."""

import inspect
import os
import secrets
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from types import FrameType

from lab import hangup, streams
from lab.engine import STDERR, STDOUT, Engine, Exec
from lab.errors import Unfit

__all__ = ["MARK", "Refusal", "connect"]

MARK = hangup.VARIABLE
"""In the environment of a command: by it the command is found when its output is not wanted any more."""

REFUSED = b"OCI runtime exec failed: "
"""How Docker begins what it says, on standard output, of a command that cannot be started."""

ABSENT = (b"executable file not found", b"no such file or directory")
CANNOT_RUN, NOT_FOUND, BY_SIGNAL = 126, 127, 128
"""A shell's exit statuses, 2.8.2 of the shell language in POSIX; with the last one, a signal's number."""


def connect(
    engine: Engine,
    container: str,
    argv: Sequence[str],
    *,
    stdin: bool = False,
    terminal: bool = False,
    leash: bool = False,
) -> int:
    """Run a command with our standard output and error as its own; its exit status.

    Nothing is added to what it prints. `stdin` hands on our standard input; `terminal` gives the command
    a terminal of its own, as `docker exec -t` does, which makes one stream of its output. `leash` gives it
    a standard input on which nothing comes, and which ends when we do, however we end.

    Where our own output cannot be written any more, the command is ended as the writer of a pipe is.
    Raises `OutputLost` then, unless somebody has just stopped reading.
    """
    if stdin and terminal and not sys.stdin.isatty():
        raise Unfit("-i with -t needs a terminal here, and standard input is none", hint="Leave out -t.")
    mark = secrets.token_hex(8)
    session = engine.open_exec(container, argv, stdin=stdin or leash, tty=terminal, environment={MARK: mark})
    refusal = Refusal()
    with _raw_terminal() if stdin and terminal else nullcontext(), _size(session, terminal):
        feeding = session.feed(iter(_read, b"")) if stdin else None
        frames = session.frames()
        for stream, data in refusal.sift(frames):
            ours = streams.STDERR if stream == STDERR else streams.STDOUT
            try:
                streams.write_all(ours, data)
            except OSError as error:
                frames.close()  # while nobody reads, the engine answers nothing more about this machine
                program = inspect.getsource(hangup)
                engine.exec(container, ["/usr/bin/python3", "-c", program, mark])
                if isinstance(error, BrokenPipeError):
                    return BY_SIGNAL + signal.SIGPIPE
                raise streams.lost(ours, error) from error
    if feeding is not None and feeding.ended:
        feeding.result()  # raises why our standard input could not be handed on to its end
    return refusal.exit_code(session.exit_code())


class Refusal:
    """What the engine itself says when it cannot start a command, told apart from what commands print.

    Docker sends it on standard output, where it would be taken for the command's, and ends with 126 also
    when there is no such program. This puts it on standard error, and answers 127 then, as a shell does.
    """

    def __init__(self) -> None:
        self._said = b""

    def sift(self, frames: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """The same frames; a refusal, after which nothing comes, as standard error."""
        coming = iter(frames)
        first = list(islice(coming, 1))
        if first and first[0][0] == STDOUT and first[0][1].startswith(REFUSED):
            first += islice(coming, 1)
            if len(first) == 1:
                self._said = first[0][1]
                first = [(STDERR, self._said)]
        yield from first
        yield from coming

    def exit_code(self, code: int) -> int:
        """The exit status to end with, after all frames, when the engine's is `code`."""
        return NOT_FOUND if code == CANNOT_RUN and any(word in self._said for word in ABSENT) else code


def _read() -> bytes:
    try:
        return os.read(streams.STDIN, 65536)
    except OSError as error:  # a folder, say: as for cat(1), that is told, and nothing comes
        print(f"lab: cannot read standard input: {error.strerror}", file=sys.stderr)  # noqa: T201
        return b""


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
