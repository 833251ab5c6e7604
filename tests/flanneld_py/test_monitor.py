"""What /healthz, /readyz, /metrics and /state say."""

import json
import logging
import math
import socket
import struct
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest
from prometheus_client.parser import text_string_to_metric_families

from flanneld_py import http_limits
from flanneld_py.backend import Flow, Statistics
from flanneld_py.board import Board
from flanneld_py.errors import Exit, Fatal
from flanneld_py.monitor import Monitor
from flanneld_py.monitor.http import CLIENTS
from lab import wait
from tests.flanneld_py.made import lease, subnet

NOW = 5000.0


def board() -> Board:
    """A minion of the tutorial that has run for a while."""
    peer = lease("10.2.52.0/24", "192.168.199.53")
    return Board(
        doing="",
        subnet=subnet("10.2.35.0/24"),
        expires_at=NOW + 3600,
        mtu=1472,
        backend="udp",
        heard_at=NOW - 2,
        peers={peer.subnet: peer},
        statistics=Statistics(
            sent={"192.168.199.53": Flow(7, 700)},
            received={"192.168.199.53": Flow(6, 600), "": Flow(1, 84)},
            dropped={"TTL reached zero": 3},
            repairs=2,
        ),
        acquired=1,
        renewed=4,
        renewal_failures=5,
        filter_repairs=6,
        watch_lag=0.003,
    )


@pytest.fixture
def boards() -> list[Board]:
    return [board()]


@pytest.fixture
def monitor(boards: list[Board]) -> Iterator[Monitor]:
    made = Monitor("127.0.0.1", 0, boards, now=lambda: NOW)
    yield made
    made.close()


def get(monitor: Monitor, path: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor.port}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_healthz_says_what_flannels_says(monitor):
    status, kind, text = get(monitor, "/healthz")
    assert (status, text.strip()) == (200, "flanneld is running")
    assert kind.startswith("text/plain")


def test_readyz_says_what_flannels_says_once_a_lease_is_held(monitor):
    assert get(monitor, "/readyz")[::2] == (200, "flanneld is ready\n")


def test_readyz_is_503_without_a_lease_and_says_what_is_waited_for(monitor, boards):
    boards[0].subnet, boards[0].doing = None, "acquiring a lease"
    assert get(monitor, "/readyz")[::2] == (503, "flanneld is not ready yet: acquiring a lease\n")


def test_readyz_says_why_what_is_waited_for_does_not_come(monitor, boards):
    boards[0].subnet, boards[0].doing, boards[0].trouble = None, "acquiring a lease", "out of subnets"
    words = "flanneld is not ready yet: acquiring a lease (out of subnets)\n"
    assert get(monitor, "/readyz")[::2] == (503, words)


def test_readyz_says_degraded_while_the_registry_is_away_and_stays_ready(monitor, boards):
    boards[0].trouble = "Watch subnets: etcd does not answer"
    assert get(monitor, "/readyz")[::2] == (
        200,
        "flanneld is ready, degraded: Watch subnets: etcd does not answer\n",
    )


def test_of_several_networks_all_must_be_ready(monitor, boards):
    boards[0].name = "blue"
    boards.append(Board(name="green", doing="acquiring a lease"))
    assert get(monitor, "/readyz")[::2] == (
        503,
        "flanneld is not ready yet: network green: acquiring a lease\n",
    )


def test_state_is_json_of_everything(monitor):
    status, kind, text = get(monitor, "/state")
    assert (status, kind) == (200, "application/json")
    (network,) = json.loads(text)["networks"]
    assert network["ready"] is True
    assert network["degraded"] is False
    assert network["lease"] == {
        "subnet": "10.2.35.0/24",
        "ipv6_subnet": None,
        "reservation": False,
        "seconds_left": 3600.0,
    }
    assert network["peers"] == [
        {
            "subnet": "10.2.52.0/24",
            "ipv6_subnet": None,
            "public_ip": "192.168.199.53",
            "public_ipv6": None,
            "backend_type": "",
        }
    ]
    assert network["traffic"]["sent"] == {"192.168.199.53": {"packets": 7, "bytes": 700}}


def test_state_is_json_also_before_there_is_anything_and_with_a_reservation(monitor, boards):
    boards.append(Board())
    boards[0].expires_at = math.inf
    first, second = json.loads(get(monitor, "/state")[2])["networks"]
    assert first["lease"]["reservation"] is True
    assert first["lease"]["seconds_left"] is None
    assert second["lease"] is None


def samples(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_in_prometheus_form(monitor):
    status, kind, text = get(monitor, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples(text)
    network = "network="
    assert found["flanneld_ready", network] == 1
    assert found["flanneld_peers", network] == 1
    assert found["flanneld_lease_seconds_left", network] == 3600
    assert found["flanneld_registry_silent_seconds", network] == 2
    assert found["flanneld_watch_lag_seconds", network] == 0.003
    assert found["flanneld_lease_renewal_failures_total", network] == 5
    assert found["flanneld_kernel_repairs_total", network] == 2
    assert found["flanneld_firewall_repairs_total", network] == 6
    assert found["flanneld_packets_total", "direction=sent", network, "peer=192.168.199.53"] == 7
    assert found["flanneld_bytes_total", "direction=received", network, "peer=192.168.199.53"] == 600
    assert found["flanneld_dropped_packets_total", network, "reason=TTL reached zero"] == 3
    assert found["flanneld_lease_info", "backend=udp", network, "subnet=10.2.35.0/24"] == 1


def test_any_other_path_says_what_there_is(monitor):
    status, _, text = get(monitor, "/")
    assert status == 404
    assert text == "there is /healthz, /readyz, /metrics and /state\n"


def test_head_is_answered_without_a_body(monitor):
    request = urllib.request.Request(f"http://127.0.0.1:{monitor.port}/readyz", method="HEAD")
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
        assert answer.read() == b""


def test_a_port_that_is_taken_is_a_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Fatal, match=rf"127\.0\.0\.1 port {port} .*another process has it") as refused:
            Monitor("127.0.0.1", port, [])
    assert refused.value.code == Exit.TAKEN


def test_junk_from_a_client_ends_its_connection_and_nothing_else(monitor):
    for junk in (b"\x00" * 100, b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", b""):
        # It may be cut off at any point of this.
        with socket.create_connection(("127.0.0.1", monitor.port), timeout=10) as client, suppress(OSError):
            client.sendall(junk)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    assert get(monitor, "/healthz")[0] == 200


def test_it_begins_without_asking_dns(monkeypatch):
    # A name server that is not there yet would hold up the daemon's start for seconds.
    def asked(name: str) -> str:
        raise AssertionError(name)

    monkeypatch.setattr(socket, "getfqdn", asked)
    Monitor("127.0.0.1", 0, []).close()


def reset(client: socket.socket) -> None:
    """Close a connection as a process that is killed with unread data does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_a_client_that_goes_away_is_no_error(monitor, capfd, caplog):
    caplog.set_level(logging.DEBUG, logger="flanneld_py")
    for request in (b"", b"GET /state HTTP/1.0\r\n\r\n", b"A" * 70_000):
        client = socket.create_connection(("127.0.0.1", monitor.port))
        client.send(request)
        reset(client)
    wait.until(
        lambda: "ConnectionResetError" in caplog.text or wait.NotYet(caplog.text), what="a word", timeout=10
    )
    assert get(monitor, "/healthz")[0] == 200
    assert "Traceback" not in capfd.readouterr().err
    assert all(record.levelno == logging.DEBUG for record in caplog.records)


def test_clients_that_are_slow_to_ask_keep_nobody_from_being_answered(monitor):
    """As slowloris does: each has sent a part of its request, and will send a byte now and then."""
    slow = [socket.create_connection(("127.0.0.1", monitor.port), timeout=10) for _ in range(CLIENTS + 1)]
    try:
        for client in slow:
            client.sendall(b"GET /readyz HTTP/1.1\r\nX")
        for _ in range(2 * CLIENTS):
            assert get(monitor, "/healthz")[0] == 200
        assert slow[0].recv(1) == b""  # the slowest made room
    finally:
        for client in slow:
            client.close()


def test_a_request_that_comes_byte_by_byte_has_one_deadline_for_all_of_it(monitor, monkeypatch):
    monkeypatch.setattr(http_limits, "REQUEST_TIME", 0.3)
    with socket.create_connection(("127.0.0.1", monitor.port), timeout=10) as client:
        client.sendall(b"GET /readyz HTTP/1.1\r\n")

        def ended() -> bool | wait.NotYet:
            try:
                client.sendall(b"X")
            except OSError:
                return True
            return wait.NotYet("its bytes are taken")

        wait.until(ended, what="the slow client to be cut off", timeout=10)
