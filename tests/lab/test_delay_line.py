"""The process behind a tap, on a pair of sockets."""

import itertools
import os
import socket
import time

import pytest

from lab.faults.impairment import parse_impairment
from lab.faults.impairment.inside.delay_line import carry
from lab.faults.impairment.line import Line


class Recorded(Line):
    """A line that keeps when each frame came."""

    def __init__(self) -> None:
        super().__init__(parse_impairment("delay 1ms"), lambda: 0.0)
        self.came: list[float] = []

    def take(self, frame: bytes, now: float) -> None:
        self.came.append(now)
        super().take(frame, now)


def test_a_frame_that_comes_while_others_are_read_is_not_taken_for_as_old_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = itertools.count()
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    tap, wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    tap.setblocking(False)
    ended, end = os.pipe()
    frames = [bytes(60 + number) for number in range(5)]
    for frame in frames:
        wire.send(frame)
    os.close(end)
    line = Recorded()
    carry(tap.fileno(), line, ended)
    assert len(set(line.came)) == len(frames)
    assert [wire.recv(100) for _ in frames] == frames
    os.close(ended)
    tap.close()
    wire.close()
