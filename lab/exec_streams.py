"""Connecting this process's standard streams to a command in a container."""

import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from types import FrameType

from lab import streams
from lab.engine import STDERR, STDOUT, Exec
from lab.errors import Unfit
from lab.node import Node
from lab.node.inside import VARIABLE, mark, supervised
from lab.threads import Task

__all__ = ["Refusal", "connect"]

REFUSED = b"OCI runtime exec failed: "
"""How Docker begins what it says, on standard output, of a command that cannot be started."""

ABSENT = (b"executable file not found", b"no such file or directory")
CANNOT_RUN, NOT_FOUND, BY_SIGNAL = 126, 127, 128
"""A shell's exit statuses, 2.8.2 of the shell language in POSIX; with the last one, a signal's number."""


def connect(node: Node, argv: Sequence[str], *, stdin: bool = False, terminal: bool = False) -> int:
    """Run a command on a machine with our standard output and error as its own; its exit status.

    Nothing is added to what it prints. `stdin` hands on our standard input; `terminal` gives the command
    a terminal of its own, as `docker exec -t` does, which makes one stream of its output.

    Where our own output cannot be written any more, on Ctrl-C, and whatever else ends us, the command is
    ended. Raises `OutputLost` in the first case, unless somebody has just stopped reading.
    """
    if terminal:
        return _on_terminal(node, argv, stdin=stdin)
    refusal = Refusal()
    with node.open(argv, stdin=stdin) as running:
        feeding = running.feed(iter(_read, b"")) if stdin else None
        try:
            _write(refusal.sift(running.frames()))
        except BrokenPipeError:
            return BY_SIGNAL + signal.SIGPIPE
    _hear(feeding)
    return refusal.exit_code(running.exit_code())


def _on_terminal(node: Node, argv: Sequence[str], *, stdin: bool) -> int:
    """The same on a terminal: there is but one way in, which is for what is typed, and none for our end."""
    if stdin and not sys.stdin.isatty():
        raise Unfit("-i with -t needs a terminal here, and standard input is none", hint="Leave out -t.")
    own = mark()
    session = node.engine.open_exec(
        node.container.id, argv, stdin=stdin, tty=True, environment={VARIABLE: own}
    )
    refusal = Refusal()
    frames = session.frames()
    try:
        with _raw_terminal() if stdin else nullcontext(), _size(session):
            feeding = session.feed(iter(_read, b"")) if stdin else None
            _write(refusal.sift(frames))
    except BaseException as error:
        frames.close()  # while nobody reads, the engine answers nothing more about this machine
        node.run(supervised(own))
        if isinstance(error, BrokenPipeError):
            return BY_SIGNAL + signal.SIGPIPE
        raise
    _hear(feeding)
    return refusal.exit_code(session.exit_code())


def _write(frames: Iterable[tuple[int, bytes]]) -> None:
    """Print it as it comes. Raises `BrokenPipeError` when nobody reads on, and `OutputLost`."""
    for stream, data in frames:
        ours = streams.STDERR if stream == STDERR else streams.STDOUT
        try:
            streams.write_all(ours, data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise streams.lost(ours, error) from error


def _hear(feeding: Task[None] | None) -> None:
    """Raise why our standard input could not be handed on to its end."""
    if feeding is not None and feeding.ended:
        feeding.result()


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
def _size(session: Exec) -> Iterator[None]:
    """Keep the command's terminal as large as ours."""

    def tell(_signal: int = 0, _frame: FrameType | None = None) -> None:
        columns, rows = shutil.get_terminal_size()
        session.resize(rows, columns)

    tell()
    before = signal.signal(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
