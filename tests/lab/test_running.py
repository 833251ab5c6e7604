"""A command that goes on, seen from here: its lines as they come, and its end however we leave it."""

import threading
from collections.abc import Generator, Iterator, Sequence
from typing import cast

import pytest

from lab.engine import STDERR, STDOUT, Exec
from lab.errors import NoAnswer
from lab.node import Running


class Session:
    """The far end: prints `output`, and goes on until its frames of control end."""

    def __init__(self, *output: tuple[int, bytes], deaf: bool = False) -> None:
        self.output = output
        self.deaf = deaf
        self.said: list[bytes] = []
        self.stopped = threading.Event()
        self.is_open = True

    def frames(self, within: float | None = None) -> Generator[tuple[int, bytes], None, None]:
        assert within is None
        try:
            yield from self.output
            if self.deaf:
                raise TimeoutError("timed out")
            assert self.stopped.wait(10)
            yield STDOUT, b"terminated\n"
        finally:
            self.is_open = False

    def hurry(self, within: float) -> None:
        assert within > 0

    def send(self, data: bytes) -> None:
        if self.stopped.is_set():
            raise BrokenPipeError
        self.said.append(data)

    def end_input(self) -> None:
        self.stopped.set()

    def ended(self) -> bool:
        return self.stopped.is_set()

    def exit_code(self) -> int:
        return 143


def running(session: Session, argv: Sequence[str] = ("tcpdump",)) -> Running:
    return Running("centos-minion01", argv, cast(Exec, session))


def test_lines_come_as_they_are_whole_and_complaints_apart() -> None:
    session = Session((STDOUT, b"one\ntw"), (STDERR, b"listening\n"), (STDOUT, b"o\nthr"))
    with running(session) as command:
        lines = command.lines()
        assert [next(lines), next(lines)] == ["one", "two"]
        command.stop()
        assert list(lines) == ["thrterminated"]
        assert command.complaints == b"listening\n"
        assert command.exit_code() == 143


def test_who_stops_listening_ends_the_command_and_waits_for_its_end() -> None:
    session = Session((STDOUT, b"one\n"), (STDOUT, b"two\n"))
    with running(session) as command:
        for line in command.lines():
            assert line == "one"
            break
        assert session.is_open
    assert session.stopped.is_set()
    assert not session.is_open


def test_an_exception_ends_it_too() -> None:
    session = Session((STDOUT, b"one\n"))

    def follow(lines: Iterator[str]) -> None:
        assert next(lines) == "one"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), running(session) as command:
        follow(command.lines())
    assert session.stopped.is_set()


def test_one_that_cannot_be_ended_is_told() -> None:
    told = "centos-minion01: no answer within 30 s from: the end of tcpdump"
    with pytest.raises(NoAnswer, match=told), running(Session(deaf=True)):
        pass
    with pytest.raises(KeyboardInterrupt) as interrupted, running(Session(deaf=True)):
        raise KeyboardInterrupt
    assert "the end of tcpdump" in "\n".join(interrupted.value.__notes__)


def test_input_goes_in_frames_and_ends_before_the_command() -> None:
    session = Session()
    with running(session) as command:
        command.feed([b"ab", b"c"]).result(10)
    assert session.said == [b"d\0\0\0\2ab", b"d\0\0\0\1c", b"e\0\0\0\0"]
