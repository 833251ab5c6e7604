"""The server's side of a connection: what it does with clients that are slow, rude or gone."""

import http.client
import json
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flanneld_py.errors import Exit, Fatal, Stopped
from flanneld_py.lease.allocate import Pick
from flanneld_py.monitor import metrics
from flanneld_py.monitor.state import readiness, state
from flanneld_py.registry import AccessRefused, RegistryUnavailable, tls_diagnosis
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials
from flanneld_py.registry.remote import RemoteRegistry
from flanneld_py.runtime import clock, http_limits
from flanneld_py.server import Server, connections
from flanneld_py.server.listen import listen
from lab.deadlines import patience
from tests.flanneld_py.certificates import Authority
from tests.flanneld_py.made import attrs, subnet
from tests.flanneld_py.memory_registry import MemoryEtcd, MemoryRegistry
from tests.flanneld_py.shared_etcd import SharedEtcd

NETWORK = b'{"Network":"10.2.0.0/16"}'
OURS = subnet("10.2.35.0/24")


@dataclass
class Served:
    """A server on the loopback, and an etcd for each of its networks."""

    etcds: dict[str, MemoryEtcd]
    server: Server
    opened: list[str]
    ready: threading.Event
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def _run(self) -> None:
        with pytest.raises(Stopped):
            self.server.run()

    def stop(self) -> None:
        self.server.stop()
        self.thread.join(10)
        self.server.close()
        assert not self.thread.is_alive()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=10)

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)) as connection:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def serve(credentials: Credentials = NO_CREDENTIALS, networks: tuple[str, ...] = ()) -> Served:
        etcds: dict[str, MemoryEtcd] = {name: SharedEtcd() for name in ("", "blue", "green")}
        etcds[""].config = etcds["blue"].config = NETWORK
        opened: list[str] = []
        ready = threading.Event()

        def open_store(name: str) -> MemoryRegistry:
            opened.append(name)
            return MemoryRegistry(etcds.get(name) or SharedEtcd())

        server = Server(
            open_store,
            "127.0.0.1:0",
            pick=lambda _: Pick(),
            credentials=credentials,
            networks=networks,
            ready=ready.set,
        )
        made.append(Served(etcds, server, opened, ready))
        return made[-1]

    yield serve
    for served in made:
        served.stop()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        threading.Event().wait(0.01)


# Networks


def test_networks_are_served_by_their_names(served):
    served.etcds["blue"].put(OURS, attrs("192.168.199.52"))
    assert json.loads(served.ask("GET", "/v1/blue/leases")[1])["snapshot"][0]["Subnet"] == "10.2.35.0/24"
    assert json.loads(served.ask("GET", "/v1/_/leases")[1])["snapshot"] == []


def test_a_network_without_a_configuration_is_v055s_key_not_found_and_not_remembered(served):
    for _ in range(2):
        status, text = served.ask("GET", "/v1/purple/config")
        assert (status, text.partition(b":")[0]) == (500, b"100")
    assert served.opened.count("purple") == 2
    served.ask("GET", "/v1/blue/config")
    served.ask("GET", "/v1/blue/config")
    assert served.opened.count("blue") == 1


def test_with_names_only_these_networks_are_served(serve):
    served = serve(networks=("blue",))
    assert served.ask("GET", "/v1/blue/config")[0] == 200
    assert served.ask("GET", "/v1/green/config")[0] == served.ask("GET", "/v1/_/config")[0] == 404
    assert served.opened == ["blue"]


# Renewal


def test_a_renewal_of_what_another_holds_is_refused_and_changes_nothing(served):
    etcd = served.etcds[""]
    before = etcd.put(OURS, attrs("192.168.199.53"))
    body = b'{"Subnet":"10.2.35.0/24","Attrs":{"PublicIP":"192.168.199.52"}}'
    status, text = served.ask("PUT", "/v1/_/leases/10.2.35.0-24", body)
    assert (status, text) == (500, b"the lease is lost: 192.168.199.53 holds 10.2.35.0/24")
    assert etcd.held(OURS).revision == before


def test_a_renewal_of_what_is_gone_is_refused_and_creates_nothing(served):
    body = b'{"Subnet":"10.2.35.0/24","Attrs":{"PublicIP":"192.168.199.52"}}'
    assert served.ask("PUT", "/v1/_/leases/10.2.35.0-24", body)[0] == 500
    assert served.etcds[""].snapshot().leases == ()


def test_a_node_without_an_ipv6_address_gets_no_lease_of_a_network_with_ipv6(served):
    blue = b'{"Network":"10.2.0.0/16","EnableIPv6":true,"IPv6Network":"2001:cafe:42::/48",'
    served.etcds["blue"].config = blue + b'"Backend":{"Type":"vxlan"}}'
    status, text = served.ask("POST", "/v1/blue/leases", b'{"PublicIP":"192.168.199.52"}')
    assert (status, text) == (500, b"the network is 2001:cafe:42::/48, and the request has no PublicIPv6")


# Long polls


def poll(served: Served, cursor: int) -> socket.socket:
    connection = served.connect()
    connection.sendall(b"GET /v1/_/leases?next=%d HTTP/1.1\r\nHost: x\r\n\r\n" % cursor)
    return connection


def test_a_client_that_waits_is_told_at_once(served):
    etcd = served.etcds[""]
    with poll(served, etcd.revision) as connection:
        until(lambda: served.server.waiting == 1 and etcd.watchers != [], "a client and its server to wait")
        etcd.put(OURS, attrs("192.168.199.52"))
        answer = connection.recv(1 << 16)
    assert b"200 OK" in answer
    assert b'"type":"added"' in answer


def test_many_clients_share_one_watch(served):
    etcd = served.etcds[""]
    clients = [poll(served, etcd.revision) for _ in range(20)]
    until(lambda: served.server.waiting == 20 and etcd.watchers != [], "20 clients and their server to wait")
    assert len(etcd.watchers) == 1
    etcd.put(OURS, attrs("192.168.199.52"))
    for client in clients:
        with client:
            assert b"10.2.35.0/24" in client.recv(1 << 16)


def test_a_client_that_goes_away_while_it_waits_leaves_nothing_behind(served):
    before = threading.active_count()
    for _ in range(5):
        poll(served, served.etcds[""].revision).close()
    until(lambda: served.server.waiting == 0 and threading.active_count() <= before, "the threads to end")


def test_a_client_with_a_cursor_of_a_server_before_us_gets_all_leases(served):
    served.etcds[""].put(OURS, attrs("192.168.199.52"))
    for cursor in (0, 10**15):
        told = json.loads(served.ask("GET", f"/v1/_/leases?next={cursor}")[1])
        assert told["events"] is None
        assert len(told["snapshot"]) == 1


def test_a_client_that_waits_is_let_go_when_the_server_ends(serve):
    served = serve()
    with poll(served, served.etcds[""].revision) as connection:
        until(lambda: served.server.waiting == 1, "a client to wait")
        served.stop()
        assert connection.recv(100) == b""


# Rude clients


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /v1/_/leases HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"POST /v1/_/leases HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"413"),
        (b"POST /v1/_/leases HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /v1/_/leases HTTP/1.1\r\nContent-Length: ten\r\n\r\n", b"400"),
        (b"POST /v1/_/leases HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", b"431"),
        (b"BREW / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /v1/_/\x1b[31m\xff HTTP/1.1\r\n\r\n", b"404"),
    ],
)
def test_what_is_no_request_is_answered_with_an_error(served, head, status):
    with served.connect() as connection:
        connection.sendall(head)
        assert status in connection.recv(1000)[:40]
    assert served.ask("GET", "/v1/_/config")[0] == 200


def test_a_client_that_sends_its_request_byte_by_byte_is_cut_off(served, monkeypatch):
    monkeypatch.setattr(http_limits, "REQUEST_TIME", 0.3)
    with served.connect() as connection:
        begun = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 (any of the bytes may be the first that fails)
            while time.monotonic() < begun + 10:
                connection.sendall(b"G")
                threading.Event().wait(0.05)
        assert time.monotonic() - begun < 5 * patience()


def test_a_client_that_sends_half_a_body_and_goes_is_forgotten(served):
    before = threading.active_count()
    with served.connect() as connection:
        connection.sendall(b"POST /v1/_/leases HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    until(lambda: threading.active_count() <= before, "the thread to end")
    assert served.etcds[""].snapshot().leases == ()


def test_of_more_connections_than_there_may_be_the_slowest_to_ask_makes_room(monkeypatch, serve):
    monkeypatch.setattr(connections, "MOST", 2)
    served = serve()
    with served.connect() as first, served.connect() as second:
        first.sendall(b"G")
        second.sendall(b"GET /v1/_/config HTTP/1.1\r\n\r\n")
        assert b"200 OK" in second.recv(1000)
        with served.connect() as third:
            assert first.recv(100) == b""
            third.sendall(b"GET /v1/_/config HTTP/1.1\r\n\r\n")
            assert b"200 OK" in third.recv(1000)
            second.sendall(b"GET /v1/_/config HTTP/1.1\r\n\r\n")
            assert b"200 OK" in second.recv(1000)


def test_a_connection_whose_thread_begins_late_has_waited_since_it_was_made():
    slots = http_limits.Slots(2)
    pairs = [socket.socketpair() for _ in range(3)]
    (early, its_client), (answered, other), (new, _) = pairs
    slots.take(early)
    slots.take(answered)
    slots.answering(answered)
    slots.waiting(answered)
    slots.waiting(early)
    assert slots.take(new)
    assert its_client.recv(1) == b""
    other.setblocking(False)
    with pytest.raises(BlockingIOError):
        other.recv(1)
    for ends in pairs:
        for end in ends:
            end.close()


def test_a_client_that_waits_for_news_is_no_slow_one(monkeypatch, serve):
    monkeypatch.setattr(connections, "MOST", 2)
    served = serve()
    revision = served.etcds[""].revision
    with poll(served, revision), poll(served, revision):
        until(lambda: served.server.waiting == 2, "both to wait")
        with served.connect() as third:
            assert third.recv(100) == b""
        assert served.server.waiting == 2


def test_requests_are_logged_as_flannel_does_and_what_is_asked_again_and_again_only_once(served, caplog):
    caplog.set_level(logging.INFO, "flanneld_py")
    with closing(http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=10)) as connection:
        for path in ("/v1/_/config", "/v1/_/config", "/v1/_/leases", "/v1/_/\x1b"):
            connection.putrequest("GET", path.replace("\x1b", "%1b"))
            connection.endheaders()
            connection.getresponse().read()
    said = [record.getMessage() for record in caplog.records if record.getMessage().startswith("GET")]
    assert said == ["GET /v1/_/config - 200", "GET /v1/_/leases - 200", "GET /v1/_/%1b - 404"]


# Places


def test_a_port_that_is_taken_is_told():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Fatal, match="another process has the port") as caught,
    ):
        listen(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    assert caught.value.code == Exit.TAKEN


def test_an_address_of_another_machine_is_told():
    with pytest.raises(Fatal, match="give an address of this machine") as caught:
        listen("192.0.2.1:0")
    assert caught.value.code == Exit.INTERFACE


def test_no_host_means_all_addresses():
    with listen(":0") as listening, socket.create_connection(("127.0.0.1", listening.getsockname()[1])):
        pass


def test_a_socket_of_systemds_is_used(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as given:
        number = os.dup(given.fileno())
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(number - 2)}
        with listen(f"fd://{number}", environ) as listening:
            assert listening.getsockname() == given.getsockname()
        assert environ == {}  # not for our children


ONE_SOCKET = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}


def test_a_socket_of_systemds_that_is_no_tcp_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as given:
        number = os.dup(given.fileno())
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(number - 2)}
    with pytest.raises(Fatal, match="it does not listen for TCP"):
        listen(f"fd://{number}", environ)


@pytest.mark.parametrize(
    ("place", "environ", "reason"),
    [
        ("fd://", {}, "systemd has given this process no socket"),
        ("fd://", {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "systemd has given this process no socket"),
        (
            "fd://4",
            ONE_SOCKET,
            "systemd has given 1, from fd://3 on",
        ),
        (
            "fd://1",
            ONE_SOCKET,
            "systemd has given 1, from fd://3 on",
        ),
    ],
)
def test_a_socket_that_systemd_has_not_given_is_told(place, environ, reason):
    with pytest.raises(Fatal, match=reason):
        listen(place, dict(environ))


# TLS


@dataclass(frozen=True)
class Files:
    ca: str
    server: Credentials
    client: Credentials
    stranger: Credentials


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    authority, other = Authority("cluster"), Authority("other")
    folder: Path = tmp_path_factory.mktemp("pem")

    def write(name: str, content: bytes) -> str:
        path = folder / f"{name}.pem"
        path.write_bytes(content)
        return str(path)

    ca = write("ca", authority.pem)

    def credentials(name: str, signer: Authority) -> Credentials:
        identity = signer.issue(name, "127.0.0.1")
        return Credentials(ca, write(name, identity.pem), write(f"{name}-key", identity.key))

    return Files(
        ca, credentials("server", authority), credentials("client", authority), credentials("stranger", other)
    )


def config_of(served: Served, credentials: Credentials) -> bytes | None:
    registry = RemoteRegistry(f"127.0.0.1:{served.server.port}", "", credentials, timeout=10)
    with closing(registry):
        return registry.config()


def test_with_an_authority_its_clients_are_let_in_and_no_others(serve, files, monkeypatch):
    monkeypatch.setattr(tls_diagnosis, "TIMEOUT", 10)
    served = serve(files.server)
    config = config_of(served, files.client)
    assert config is not None
    assert config.startswith(b'{"Network":"10.2.0.0/16"')
    with pytest.raises(AccessRefused, match="it requires a client certificate: give -remote-certfile"):
        config_of(served, Credentials(files.ca))
    with pytest.raises(AccessRefused, match="it rejects our client certificate: check -remote-certfile"):
        config_of(served, files.stranger)
    with pytest.raises(AccessRefused, match="it speaks TLS: give -remote-cafile"):
        config_of(served, NO_CREDENTIALS)


def test_without_an_authority_everybody_is_let_in_who_trusts_the_server(serve, files):
    served = serve(Credentials("", files.server.certfile, files.server.keyfile))
    assert config_of(served, Credentials(files.ca)) is not None


def test_a_server_without_tls_is_told_to_a_client_with_it(served, files):
    with pytest.raises(AccessRefused, match="it does not speak TLS: drop -remote-cafile and the like"):
        config_of(served, files.client)


def test_a_client_waits_over_tls_too_and_leaves_nothing_behind(serve, files):
    served = serve(files.server)
    before = threading.active_count()
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.client.certfile, files.client.keyfile)
    with context.wrap_socket(served.connect(), server_hostname="127.0.0.1") as connection:
        connection.sendall(b"GET /v1/_/leases?next=%d HTTP/1.1\r\n\r\n" % served.etcds[""].revision)
        until(lambda: served.server.waiting == 1, "a client to wait")
    until(lambda: served.server.waiting == 0 and threading.active_count() <= before, "the thread to end")


def test_a_connection_that_is_no_handshake_hurts_nobody(serve, files):
    served = serve(files.server)
    with served.connect() as connection:
        connection.sendall(b"GET /v1/_/config HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            while connection.recv(1000):
                pass
    assert config_of(served, files.client) is not None


def test_files_that_cannot_be_used_end_the_server_before_anybody_is_served(serve, files):
    missing, junk = Credentials("", "/missing.pem", "/missing.pem"), "/etc/hostname"
    with pytest.raises(Fatal, match=r"^-remote-certfile: /missing\.pem cannot be read: No such file"):
        serve(missing)
    with pytest.raises(Fatal, match=r"^-remote-keyfile: .* is not in PEM format"):
        serve(Credentials("", files.server.certfile, junk))
    with pytest.raises(Fatal, match=r"^-remote-certfile and -remote-keyfile: .* cannot be used together"):
        serve(Credentials("", files.server.certfile, files.client.keyfile))
    with pytest.raises(Fatal, match=r"^-remote-cafile: .* holds no certificate that can be used: "):
        serve(Credentials(files.client.keyfile, files.server.certfile, files.server.keyfile))


def test_an_etcd_that_does_not_answer_is_the_servers_trouble_and_told(served):
    served.etcds[""].reachable = False
    with pytest.raises(RegistryUnavailable, match="etcd does not answer") as caught:
        config_of(served, NO_CREDENTIALS)
    assert caught.value.trouble == "the lease server reports an error"


# What /readyz tells of it


def test_a_server_whose_etcd_is_away_is_ready_and_degraded_until_it_is_back(served):
    assert readiness(served.server.statuses, clock.now()) == (200, "flanneld is ready\n")
    served.etcds[""].reachable = False
    assert served.ask("GET", "/v1/_/leases")[0] == 500
    status, words = readiness(served.server.statuses, clock.now())
    assert status == 200
    assert words.startswith("flanneld is ready, degraded: ")
    served.etcds[""].reachable = True
    assert served.ask("GET", "/v1/_/leases")[0] == 200
    assert readiness(served.server.statuses, clock.now()) == (200, "flanneld is ready\n")


def test_a_server_that_nobody_asks_finds_out_by_itself(served):
    served.etcds[""].reachable = False
    served.etcds[""].break_watches()
    until(lambda: "degraded" in readiness(served.server.statuses, clock.now())[1], "it is degraded")
    served.etcds[""].reachable = True
    until(lambda: "degraded" not in readiness(served.server.statuses, clock.now())[1], "it is well again")


def test_of_several_networks_that_are_served_the_one_in_trouble_is_named(serve):
    served = serve(networks=("blue", "green"))
    served.etcds["green"].reachable = False
    served.ask("GET", "/v1/green/leases")
    assert "degraded: network green: " in readiness(served.server.statuses, clock.now())[1]
    blue, green = (
        state([network_status], clock.now(), "0.1.0")["networks"] for network_status in served.server.statuses
    )
    assert json.dumps(blue).startswith('[{"name": "blue", "ready": true, "degraded": false')
    assert json.dumps(green).startswith('[{"name": "green", "ready": true, "degraded": true')
    assert b'flanneld_degraded{network="green"} 1.0' in metrics.text(
        served.server.statuses, clock.now(), "0.1.0"
    )
