"""Asking an engine by its HTTP API, against a socket that answers as engines do, and as others do."""

import http.client
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.engine import Engine, EngineUnavailable
from lab.engine.api import Api, Refused, Unanswered
from lab.engine.endpoint import Endpoint
from lab.engine.failures import NotThere, attempt
from lab.engine.transport import transport_to

PONG = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK"


def answer(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Answering:
    """A socket that gives each connection its answers, one for each request, and then ends it."""

    def __init__(self, folder: Path, *connections: Sequence[bytes]) -> None:
        self.endpoint = Endpoint("unix", path=str(folder / "engine"))
        self.api = Api(transport_to(self.endpoint), timeout=30)
        self.paths: list[list[str]] = []
        self.hung_up = threading.Semaphore(0)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.endpoint.path)
        self._listener.listen()
        self._thread = threading.Thread(target=self._answer, args=(connections,))
        self._thread.start()

    def _answer(self, connections: Sequence[Sequence[bytes]]) -> None:
        for answers in connections:
            self.paths.append([])
            with self._listener.accept()[0] as connection, connection.makefile("rb") as requests:
                for text in answers:
                    self.paths[-1].append(requests.readline().decode().split()[1])
                    requests.read(int(http.client.parse_headers(requests).get("Content-Length", 0)))
                    connection.sendall(text)
            self.hung_up.release()

    def ended(self) -> "Answering":
        self._thread.join()
        self._listener.close()
        return self


def test_requests_follow_each_other_on_one_connection_with_the_version_that_the_engine_has(tmp_path):
    engine = Answering(tmp_path, [PONG, answer("200 OK", b"[]"), answer("200 OK", b"[1]")])
    engine.api.greet()
    assert [engine.api.get("/networks", filters="{}"), engine.api.get("/info")] == [[], [1]]
    assert engine.ended().paths == [["/_ping", "/v1.41/networks?filters=%7B%7D", "/v1.41/info"]]


def test_a_connection_that_the_engine_has_ended_is_not_asked_again(tmp_path):
    engine = Answering(tmp_path, [answer("200 OK", b"1")], [answer("200 OK", b"2")])
    assert engine.api.get("/one") == 1
    assert engine.hung_up.acquire(timeout=30)
    assert engine.api.get("/two") == 2
    assert engine.ended().paths == [["/one"], ["/two"]]


def test_an_answer_in_chunks_is_put_together(tmp_path):
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n5\r\na":1}\r\n0\r\n\r\n'
    engine = Answering(tmp_path, [chunked])
    assert engine.api.get("/info") == {"a": 1}
    engine.ended()


def test_what_an_engine_does_not_have_is_told_in_its_words(tmp_path):
    engine = Answering(tmp_path, [answer("404 Not Found", b'{"message": "get x: no such volume"}')])
    with (
        pytest.raises(NotThere, match="looking for volume x: get x: no such volume"),
        attempt("looking for volume x"),
    ):
        engine.api.get("/volumes/x")
    engine.ended()


@pytest.mark.parametrize(("body", "said"), [(b"too bad\n", "too bad"), (b"", "Internal Server Error")])
def test_a_refusal_that_is_no_document_is_told_as_it_is(tmp_path, body, said):
    engine = Answering(tmp_path, [answer("500 Internal Server Error", body)])
    with pytest.raises(Refused, match=f"^{said}$"):
        engine.api.post("/exec/x/start", {})
    engine.ended()


def test_a_stream_that_the_engine_does_not_open_is_refused(tmp_path):
    engine = Answering(tmp_path, [answer("409 Conflict", b'{"message": "the container is paused"}')])
    with pytest.raises(Refused, match="the container is paused"):
        engine.api.stream("/exec/x/start", {})
    engine.ended()


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        (answer("200 OK", b"<html>"), "it reports no API version"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
        (b"", "closed connection without response"),
    ],
)
def test_what_is_no_engine_is_told_as_such(tmp_path, answered, said):
    other = Answering(tmp_path, [answered])
    with pytest.raises(EngineUnavailable, match=said):
        Engine.at(other.endpoint)
    other.ended()


def test_an_answer_that_is_not_json_comes_from_no_engine(tmp_path):
    other = Answering(tmp_path, [answer("200 OK", b"<html>welcome")])
    with pytest.raises(Unanswered, match="expected JSON, got b'<html>welcome'"):
        other.api.get("/info")
    other.ended()
