"""`flanneld -remote` with a server of v0.5.5, which tells no revisions and writes over whatever there is."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from flanneld_py.backend.catalog import parse_config
from flanneld_py.daemon.claim import Claim, Lost
from flanneld_py.errors import Stopped
from flanneld_py.lease.allocate import Pick
from flanneld_py.lease.model import StoredLease
from flanneld_py.registry import LeaseAdded, LeaseRemoved, LeaseRequest, RegistryUnavailable
from flanneld_py.registry.remote import RemoteRegistry
from flanneld_py.registry.remote.client import RemoteClient
from lab.deadlines import patience
from tests.flanneld_py.made import attrs, held, subnet
from tests.flanneld_py.registry_conformance import ANSWERED, UNANSWERED, Watched
from tests.flanneld_py.v055_server import V055Server

US, THEM = "192.168.199.52", "192.168.199.53"


@pytest.fixture
def server() -> Iterator[V055Server]:
    server = V055Server()
    yield server
    server.stop()


@pytest.fixture
def registry(server: V055Server) -> Iterator[RemoteRegistry]:
    registry = RemoteRegistry(server.place, timeout=ANSWERED)
    yield registry
    registry.close()


def acquire(registry: RemoteRegistry) -> StoredLease:
    text = registry.config()
    assert text is not None
    held = registry.acquire(registry.snapshot(), LeaseRequest(parse_config(text), attrs(US), None, Pick()))
    assert held is not None
    return held


def test_a_lease_is_acquired_and_renewed(registry, server):
    ours = acquire(registry)
    assert server.leases == {str(ours.lease.subnet): US}
    revision = registry.renew(ours, attrs(US))
    assert revision is not None
    assert revision > ours.revision


def test_a_lease_that_another_has_written_is_not_written_over(registry, server):
    ours = acquire(registry)
    server.put(str(ours.lease.subnet), THEM)
    assert registry.renew(ours, attrs(US)) is None
    assert server.written == []


def test_a_lease_that_is_gone_is_not_made_again(registry, server):
    ours = acquire(registry)
    server.delete(str(ours.lease.subnet))
    assert registry.renew(ours, attrs(US)) is None
    assert server.written == []


def test_events_carry_the_cursor_for_their_revision(registry, server):
    watched = Watched(registry, registry.snapshot().revision)
    server.put("10.2.52.0/24", THEM)
    server.delete("10.2.52.0/24")
    assert watched.events(2) == [
        LeaseAdded(held("10.2.52.0/24", THEM, 1)),
        LeaseRemoved(subnet("10.2.52.0/24"), 2),
    ]


def test_a_subnet_that_was_anothers_before_it_was_ours_is_not_lost_by_that(registry, server):
    server.put("10.2.1.0/24", THEM)
    before = registry.snapshot()
    server.delete("10.2.1.0/24")
    claim: Claim | Lost = Claim(acquire(registry), 0.0)
    watched = Watched(registry, before.revision)
    for event in watched.events(2):
        assert isinstance(claim, Claim)
        claim = claim.after(event)
    assert isinstance(claim, Claim)
    assert claim.subnet == subnet("10.2.1.0/24")


def test_a_theft_is_seen_on_the_watch_and_in_the_list(registry, server):
    claim = Claim(acquire(registry), 0.0)
    watched = Watched(registry, claim.held.revision)
    server.put(str(claim.subnet), THEM)
    (event,) = watched.events(1)
    assert isinstance(claim.after(event), Lost)
    assert isinstance(claim.after_list(registry.snapshot()), Lost)


# A server that says nothing


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture
def mute(listening: socket.socket) -> str:
    return f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_says_nothing_is_unavailable_in_time(mute):
    registry = RemoteRegistry(mute, timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(RegistryUnavailable, match=r"no answer within 0\.3 s"):
        registry.config()
    assert time.monotonic() - begun < 3 * patience()
    registry.close()


def test_a_call_of_a_server_that_says_nothing_ends_with_close(mute, listening):
    registry = RemoteRegistry(mute, timeout=60)

    def close_when_asked() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(1)
            registry.close()

    closer = threading.Thread(target=close_when_asked)
    closer.start()
    begun = time.monotonic()
    with pytest.raises(Stopped):
        registry.config()
    assert time.monotonic() - begun < 30 * patience()
    closer.join()


def test_a_call_ends_also_if_it_is_closed_while_it_connects(mute, monkeypatch):
    registry = RemoteRegistry(mute, timeout=60)
    connect = RemoteClient._connect

    def closed_meanwhile(client: RemoteClient) -> http.client.HTTPConnection:
        connection = connect(client)
        registry.close()
        return connection

    monkeypatch.setattr(RemoteClient, "_connect", closed_meanwhile)
    begun = time.monotonic()
    with pytest.raises(Stopped):
        registry.config()
    assert time.monotonic() - begun < 30 * patience()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"junk\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\njunk",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"cursor":"-1"}',
        b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n\xff\n",
    ],
)
def test_an_answer_that_is_none_is_unavailable(answer):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        registry = RemoteRegistry(f"127.0.0.1:{listening.getsockname()[1]}", timeout=UNANSWERED)
        with pytest.raises(RegistryUnavailable):
            registry.snapshot()
        registry.close()
        thread.join(10)
