"""TLS to an engine, against Python's own TLS on the other side."""

import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.engine.endpoint import Endpoint, Tls
from lab.engine.transport import transport_to
from tests.flanneld_py.certificates import Authority

SIZE = 3_000_000


@dataclass(frozen=True)
class Pem:
    """Files of one authority."""

    folder: Path

    @property
    def tls(self) -> Tls:
        return Tls(self.folder / "ca.pem", self.folder / "client.pem", self.folder / "client.key")

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.load_verify_locations(self.folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture(scope="module")
def pem(tmp_path_factory) -> Pem:
    authority = Authority("engines")
    folder = tmp_path_factory.mktemp("pem")
    (folder / "ca.pem").write_bytes(authority.pem)
    for name, issued in {
        "server": authority.issue("engine", "127.0.0.1"),
        "client": authority.issue("client"),
    }.items():
        (folder / f"{name}.pem").write_bytes(issued.pem)
        (folder / f"{name}.key").write_bytes(issued.key)
    return Pem(folder)


def serve(context: ssl.SSLContext, talk: Callable[[ssl.SSLSocket], object]) -> int:
    """Take one connection; the port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with listener, listener.accept()[0] as connection:
            try:
                with context.wrap_socket(connection, server_side=True) as encrypted:
                    talk(encrypted)
            except OSError:
                return  # the client has gone

    threading.Thread(target=run, daemon=True).start()
    return int(listener.getsockname()[1])


def endpoint(port: int, tls: Tls) -> Endpoint:
    return Endpoint("tcp", "127.0.0.1", port, tls=tls, named="DOCKER_HOST is this test")


def read_all(stream: socket.socket | ssl.SSLSocket) -> bytes:
    return b"".join(iter(lambda: stream.recv(65536), b""))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_sent_can_end_before_what_comes(pem, version):
    def talk(peer: ssl.SSLSocket) -> None:
        digest = hashlib.sha256(read_all(peer)).digest()  # to the client's notice that it has ended
        peer.sendall(digest + bytes(SIZE))

    context = pem.server()
    context.minimum_version = context.maximum_version = version
    data = os.urandom(SIZE)
    with transport_to(endpoint(serve(context, talk), pem.tls)).dial(30) as stream:
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        assert read_all(stream) == hashlib.sha256(data).digest() + bytes(SIZE)


def test_both_directions_are_used_at_once(pem):
    """A program that echoes more than the sockets hold."""

    def talk(peer: ssl.SSLSocket) -> None:
        while data := peer.recv(65536):
            peer.sendall(data)

    data = os.urandom(SIZE)
    with transport_to(endpoint(serve(pem.server(), talk), pem.tls)).dial(30) as stream:

        def send() -> None:
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert read_all(stream) == data
        sender.join()


def test_a_connection_that_is_closed_here_is_closed_there(pem):
    ended = threading.Event()

    def talk(peer: ssl.SSLSocket) -> None:
        try:
            while True:
                peer.sendall(bytes(65536))
        except OSError:
            ended.set()

    transport_to(endpoint(serve(pem.server(), talk), pem.tls)).dial(30).close()
    assert ended.wait(30)


def test_where_the_engine_ends_before_all_was_sent_there_is_an_end_and_no_reset(pem):
    with transport_to(endpoint(serve(pem.server(), lambda _: None), pem.tls)).dial(30) as stream:
        with pytest.raises(BrokenPipeError):
            stream.sendall(bytes(100 * SIZE))
        assert read_all(stream) == b""


def test_an_engine_that_another_authority_vouches_for_is_refused(pem, tmp_path):
    (tmp_path / "ca.pem").write_bytes(Authority("another").pem)
    transport = transport_to(endpoint(serve(pem.server(), read_all), Tls(tmp_path / "ca.pem")))
    with pytest.raises(ssl.SSLCertVerificationError):
        transport.dial(30)


def test_the_certificates_of_the_web_are_no_matter(pem, monkeypatch, tmp_path):
    """REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE replace the authorities in requests."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "none.pem"))
    port = serve(pem.server(), lambda peer: peer.sendall(b"hello"))
    with transport_to(endpoint(port, pem.tls)).dial(30) as stream:
        assert read_all(stream) == b"hello"


def test_it_is_told_that_the_engine_wants_a_certificate(pem):
    """TLS 1.3 tells it after the handshake, when a request is on its way already (RFC 8446, 6.2)."""
    transport = transport_to(endpoint(serve(pem.server(), read_all), Tls(pem.folder / "ca.pem")))
    with closing(transport), transport.dial(30) as stream:
        assert read_all(stream) == b""
        assert "certificate required" in transport.said()
