"""Commands in a container, by a program that stays there: see `lab.engine.inside.agent`.

To begin one this way takes milliseconds, where the engine's own way takes a tenth of a second; many go on at
the same time over one connection.
"""

import json
import queue
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from lab import threads
from lab.deadlines import END_TOLD
from lab.engine.session import STDERR, Exec
from lab.errors import LabError

__all__ = ["Agent", "Command", "Ended", "Gone"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command, with its standard input; `within` seconds are a deadline of its own."""

    argv: Sequence[str]
    stdin: bytes | None = None
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended. `late` is why it was killed: at its "own" deadline, at that of "all", or because it had
    printed too "much", more than 64 MiB."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    late: str = ""


class Gone(LabError):
    """The program has ended, with its machine say. `began`: whether the commands may have done something."""

    def __init__(self, said: str, *, began: bool) -> None:
        super().__init__(f"the program that runs commands has ended: {said}")
        self.began = began


END: Final[Mapping[str, Any]] = {}
"""What who waits is told when there will be no answer."""


class Agent:
    """The program, and the conversation with it. For any number of threads."""

    def __init__(self, session: Exec) -> None:
        self._session = session
        self._numbers = count()
        self._lock = threading.Lock()  # of who waits, and of whether anybody may
        self._waiting: dict[int, queue.SimpleQueue[Mapping[str, Any]]] = {}
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._said = b""
        self._ended = False
        threads.start(self._read, name="agent")
        threads.start(self._write, name="to the agent")

    @property
    def ended(self) -> bool:
        """Whether it is known to be gone."""
        return self._ended

    def run(
        self, commands: Mapping[str, Command], within: float, heed: Callable[[], None] = lambda: None
    ) -> Mapping[str, Ended]:
        """Run commands at the same time, each to its end or until so many seconds have passed.

        `heed` is called now and then while there is no answer; what it raises ends the wait. Raises `Gone`,
        and `threads.Late` when even the end of killed ones is not told.
        """
        number, deadline, began = next(self._numbers), time.monotonic() + within + END_TOLD.seconds, False
        asked = _line(id=number, commands=_document(commands), within=within)
        inbox: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        with self._lock:
            if self._ended:
                raise Gone(self._last_words(), began=False)
            self._waiting[number] = inbox
        self._lines.put(asked)

        def look() -> None:
            heed()
            if time.monotonic() >= deadline:
                raise threads.Late

        try:
            while "ended" not in (answer := threads.receive(inbox, look)):
                if answer is END:
                    raise Gone(self._last_words(), began=began)
                began = True
                self._lines.put(_line(id=number, go=True))
        finally:
            if not began:  # it must not begin when nobody waits for it any more
                self._lines.put(_line(id=number, go=False))
            with self._lock:
                self._waiting.pop(number, None)
        return {
            name: Ended(told["exit"], b64decode(told["out"]), b64decode(told["err"]), told["late"])
            for name, told in answer["ended"].items()
        }

    def _write(self) -> None:
        """Hand on what is said to it: a machine that stands still must not hold up who says it."""
        with suppress(OSError):  # it has ended, which who reads learns with what it has said
            while (line := threads.receive(self._lines)) is not None:
                self._session.send(line)
            self._session.end_input()

    def _read(self) -> None:
        left: list[bytes] = []
        try:
            for stream, data in self._session.frames():
                if stream == STDERR:
                    self._said += data
                    continue
                left.append(data)
                if b"\n" in data:
                    *lines, rest = b"".join(left).split(b"\n")
                    left = [rest]
                    for line in lines:
                        self._hand(line)
        except (LabError, OSError) as error:
            left.append(str(error).encode())
        finally:
            self._said += b"".join(left)
            with self._lock:
                self._ended = True
                for inbox in self._waiting.values():
                    inbox.put(END)
            self._lines.put(None)

    def _hand(self, line: bytes) -> None:
        try:
            answer = json.loads(line)
            inbox = self._waiting.get(answer["id"])
        except (ValueError, TypeError, KeyError):
            self._said += line + b"\n"  # of the engine, which has no such program say
            return
        if inbox is not None:  # who asked may have given up
            inbox.put(answer)

    def _last_words(self) -> str:
        words = self._said.decode(errors="replace").strip().splitlines()
        return words[-1] if words else "it said nothing"

    def close(self) -> None:
        """Have it end, with all that it runs. Does not wait for that."""
        self._ended = True
        self._lines.put(None)


def _line(**said: Any) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _document(commands: Mapping[str, Command]) -> Mapping[str, Any]:
    return {
        name: {
            "argv": list(each.argv),
            "input": None if each.stdin is None else b64encode(each.stdin).decode(),
            "within": each.within,
        }
        for name, each in commands.items()
    }
