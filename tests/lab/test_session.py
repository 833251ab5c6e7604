"""Reading what a command prints, against a socket that answers as the engine does."""

import http.client
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.engine import STDERR, STDOUT, EngineUnavailable, Exec
from lab.engine.api import Api
from lab.engine.endpoint import Endpoint
from lab.engine.transport import transport_to

ROOT = Path(__file__).parents[2]

UPGRADED = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\n"
)


def frame(stream: int, data: bytes) -> bytes:
    """ContainerAttach's "stream format"."""
    return struct.pack(">BxxxL", stream, len(data)) + data


def command(folder: Path, *parts: bytes, tty: bool = False, until: threading.Event | None = None) -> Exec:
    """A command whose output follows the head of the engine's answer, each part in one write.

    It ends then, or when `until` is set.
    """
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "engine"))
    listener.listen()

    def answer() -> None:
        with listener, listener.accept()[0] as connection, connection.makefile("rb") as request:
            # All of it: what is closed before it was read is reset (unix(7)), and so is what was answered.
            length = int(http.client.parse_headers(request)["Content-Length"]) if request.readline() else 0
            request.read(length)
            for part in parts:
                connection.sendall(part)
            if until is not None:
                until.wait(30)

    threading.Thread(target=answer, daemon=True).start()
    api = Api(transport_to(Endpoint("unix", path=f"{folder}/engine")), timeout=30)
    return Exec(api, "some-exec", api.stream("/exec/some-exec/start", {"Tty": tty}), tty)


@pytest.mark.parametrize("together", [True, False], ids=["with the head", "after the head"])
def test_output_that_comes_with_the_head_of_the_answer_is_not_lost(tmp_path, together):
    output = frame(STDOUT, b"hello\n") + frame(STDERR, b"oops\n")
    parts = [UPGRADED + output] if together else [UPGRADED, output]
    assert list(command(tmp_path, *parts).frames()) == [(STDOUT, b"hello\n"), (STDERR, b"oops\n")]


def test_a_terminals_output_has_no_frames(tmp_path):
    session = command(tmp_path, UPGRADED + b"hello\r\n", tty=True)
    assert b"".join(data for _, data in session.frames()) == b"hello\r\n"


def test_a_frame_that_comes_in_pieces_is_put_together(tmp_path):
    whole = frame(STDOUT, bytes(100_000))
    session = command(tmp_path, UPGRADED + whole[:3], whole[3:50_000], whole[50_000:])
    assert list(session.frames()) == [(STDOUT, bytes(100_000))]


def test_a_command_that_does_not_end_is_waited_for_no_longer_than_said(tmp_path):
    hold = threading.Event()
    session = command(tmp_path, UPGRADED + frame(STDOUT, b"hello"), until=hold)
    frames = session.frames(within=0.05)
    assert next(frames) == (STDOUT, b"hello")
    with pytest.raises(TimeoutError):
        next(frames)
    hold.set()


def test_a_command_that_ends_before_its_input_has_ended_and_its_output_is_kept(tmp_path):
    hold = threading.Event()
    session = command(tmp_path, UPGRADED + frame(STDOUT, b"hello"), until=hold)
    frames = session.frames()
    assert next(frames) == (STDOUT, b"hello")
    session.send(b"input that nobody reads")
    hold.set()
    assert list(frames) == []


def test_a_connection_that_breaks_within_a_frame_is_told(tmp_path):
    hold = threading.Event()
    session = command(tmp_path, UPGRADED + frame(STDOUT, b"hello") + frame(STDOUT, b"more")[:9], until=hold)
    frames = session.frames()
    assert next(frames) == (STDOUT, b"hello")
    session.send(b"input that nobody reads")
    hold.set()
    with pytest.raises(EngineUnavailable, match="the connection broke"):
        next(frames)


def test_a_command_that_goes_on_though_its_connection_has_ended_has_no_exit_status(tmp_path, monkeypatch):
    session = command(tmp_path, UPGRADED)
    assert list(session.frames()) == []
    inspected = {"Running": True, "ExitCode": None}
    monkeypatch.setattr(Api, "get", lambda _api, _path: inspected)
    with pytest.raises(EngineUnavailable, match="the connection ended before the command"):
        session.exit_code()


ONE_COMMAND = """
import gc, sys
from pathlib import Path
from tests.lab.test_session import UPGRADED, command, frame
session = command(Path(sys.argv[1]), UPGRADED + frame(1, b"hello"))
assert list(session.frames()) == [(1, b"hello")]
del session
gc.collect()
"""


@pytest.mark.slow
def test_nothing_is_left_for_the_garbage_collector_to_complain_of(tmp_path):
    """In development mode every Python tells of errors in finalizers; 3.13 and later always do."""
    argv = [sys.executable, "-X", "dev", "-W", "error", "-c", ONE_COMMAND, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stderr, done.returncode) == ("", 0)
