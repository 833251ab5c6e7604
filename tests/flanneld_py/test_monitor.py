"""What /healthz, /readyz, /metrics and /state say."""

import errno
import json
import logging
import math
import os
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from flanneld_py.backend.counters import device_statistics
from flanneld_py.datapath import forward
from flanneld_py.datapath.fast_path import FastPath, layouts
from flanneld_py.datapath.traffic import Traffic
from flanneld_py.datapath.tunnel import Tunnel
from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.admission import Refusals
from flanneld_py.monitor.http import CLIENTS, Monitor
from flanneld_py.monitor.statistics import Flow, Statistics
from flanneld_py.monitor.status import NetworkStatus, ServerStatus, listed, waiting_on
from flanneld_py.runtime import http_limits
from lab import wait
from tests.flanneld_py.made import lease, subnet
from tests.schemas import SCHEMAS, problems

NOW = 5000.0
PEER = {
    "subnet": "10.2.52.0/24",
    "ipv6_subnet": None,
    "public_ip": "192.168.199.53",
    "public_ipv6": None,
    "backend_type": "",
}
"""Of `/state`, the other minion of the tutorial."""


def network_status() -> NetworkStatus:
    """A minion of the tutorial that has run for a while."""
    peer = lease("10.2.52.0/24", "192.168.199.53")
    return NetworkStatus(
        doing="",
        subnet=subnet("10.2.35.0/24"),
        expires_at=NOW + 3600,
        mtu=1472,
        backend="udp",
        heard_at=NOW - 2,
        peers=lambda: (peer,),
        statistics=lambda: Statistics(
            sent={"192.168.199.53": Flow(7, 700)},
            received={"192.168.199.53": Flow(6, 600), "": Flow(1, 84)},
            dropped={"TTL reached zero": 3},
            repairs=2,
        ),
        acquired=1,
        renewed=4,
        renewal_failures=5,
        filter_repairs=6,
        last_lag=0.003,
    )


@pytest.fixture
def statuses() -> list[NetworkStatus]:
    return [network_status()]


@pytest.fixture
def monitor(statuses: list[NetworkStatus]) -> Iterator[Monitor]:
    made = Monitor("127.0.0.1", 0, statuses, now=lambda: NOW)
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


def test_readyz_is_503_without_a_lease_and_says_what_is_waited_for(monitor, statuses):
    statuses[0].subnet, statuses[0].doing = None, "acquiring a lease"
    assert get(monitor, "/readyz")[::2] == (503, "flanneld is not ready yet: acquiring a lease\n")


def test_readyz_says_why_what_is_waited_for_does_not_come(monitor, statuses):
    statuses[0].subnet, statuses[0].doing, statuses[0].trouble = None, "acquiring a lease", "out of subnets"
    words = "flanneld is not ready yet: acquiring a lease (out of subnets)\n"
    assert get(monitor, "/readyz")[::2] == (503, words)


def test_readyz_says_degraded_while_the_registry_is_away_and_stays_ready(monitor, statuses):
    statuses[0].trouble = "Watch subnets: etcd does not answer"
    assert get(monitor, "/readyz")[::2] == (
        200,
        "flanneld is ready, degraded: Watch subnets: etcd does not answer\n",
    )


def test_readyz_says_degraded_while_changes_wait_to_be_in_force(monitor, statuses):
    statuses[0].oldest = lambda: NOW - 2.0
    assert get(monitor, "/readyz")[2] == "flanneld is ready\n"
    statuses[0].oldest = lambda: NOW - 15.26
    status, _, text = get(monitor, "/readyz")
    assert status == 200
    assert text.startswith("flanneld is ready, degraded: lease changes have waited 15.3 s to be applied: ")
    found = samples(get(monitor, "/metrics")[2])
    assert found["flanneld_watch_lag_seconds", "network="] == pytest.approx(15.26)
    assert found["flanneld_degraded", "network="] == 1
    assert json.loads(get(monitor, "/state")[2])["networks"][0]["watch_lag_seconds"] == 15.26
    assert json.loads(get(monitor, "/state")[2])["networks"][0]["degraded"] is True


def test_what_a_lost_lease_still_has_in_force_is_told(monitor, statuses):
    statuses[0].subnet, statuses[0].doing = None, "acquiring a lease"
    statuses[0].unfenced = "Withdrawing what the lease of 10.2.35.0/24 had in force: Too many open files"
    status, _, text = get(monitor, "/readyz")
    assert status == 503
    assert text == f"flanneld is not ready yet: acquiring a lease ({statuses[0].unfenced})\n"
    assert samples(get(monitor, "/metrics")[2])["flanneld_unfenced", "network="] == 1
    assert json.loads(get(monitor, "/state")[2])["networks"][0]["unfenced"] == statuses[0].unfenced


def test_of_several_networks_all_must_be_ready(monitor, statuses):
    statuses[0].name = "blue"
    statuses.append(NetworkStatus(name="green", doing="acquiring a lease"))
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
    assert network["peers"] == [PEER]
    assert network["traffic"]["sent"] == {"192.168.199.53": {"packets": 7, "bytes": 700}}


def test_state_is_json_also_before_there_is_anything_and_with_a_reservation(monitor, statuses):
    statuses.append(NetworkStatus())
    statuses[0].expires_at = math.inf
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
    assert text == "not found: try /healthz, /readyz, /metrics or /state\n"


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


# Everything in every state


def waiting_for_the_interface() -> NetworkStatus:
    return NetworkStatus(doing="waiting for an interface that fits")


def waiting_for_its_configuration() -> NetworkStatus:
    return NetworkStatus(
        doing="waiting for the network configuration, /coreos.com/network/config", trouble="no key"
    )


def without_etcd() -> NetworkStatus:
    return replace(network_status(), trouble="Watch subnets: etcd does not answer")


def late() -> NetworkStatus:
    return replace(network_status(), oldest=lambda: NOW - 60)


def lost() -> NetworkStatus:
    return replace(network_status(), subnet=None, doing="", unfenced="Withdrawing: No buffer space available")


def reserved() -> NetworkStatus:
    return replace(network_status(), expires_at=math.inf)


STATES = [
    NetworkStatus,
    waiting_for_the_interface,
    waiting_for_its_configuration,
    network_status,
    without_etcd,
    late,
    lost,
]
STATES += [reserved, partial(ServerStatus, "blue", doing=""), partial(ServerStatus, doing="", trouble="away")]


def on_the_fast_path() -> Statistics:
    """A carrier's, with drops for every reason that there is, in the loop and in the programs."""
    made = object.__new__(Tunnel)
    made._ways = {"loop": "offloads: tso, gro", "fast_path": "on"}
    made._traffic = Traffic()
    made._traffic.know("192.168.199.53")
    made._traffic.sent.add("192.168.199.53", 84)
    made._traffic.received.add("10.9.9.9", 84)
    reasons = [drop.reason for drop in vars(forward).values() if isinstance(drop, forward.Drop)]
    assert len(reasons) > 5
    for reason in (*reasons, "sending: Message too long", 'what "they" say\\\n'):
        made._traffic.dropped[reason] += 1
    programs = Mock(spec=FastPath)
    programs.statistics.return_value = Statistics(
        {"192.168.199.53": Flow(1, 2)}, {"": Flow(3, 4)}, {drop.reason: 5 for drop in layouts.DROPS}
    )
    made._programs = programs, Statistics()
    return made.statistics()


def of_the_loop() -> Statistics:
    traffic = Traffic()
    traffic.dropped[forward.NO_LEASE.reason] += 1
    return replace(traffic.statistics(), ways={"loop": "plain", "fast_path": "off: no clang"})


def unreadable() -> Statistics:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


BACKENDS = [Statistics, on_the_fast_path, of_the_loop, partial(device_statistics, ["lo"], 3)]
BACKENDS += [partial(device_statistics, ["none0"], 0), unreadable]


@pytest.mark.parametrize("made", STATES)
def test_everything_is_told_in_every_state_of_every_backend(monitor, statuses, made):
    of_a_kind = [made() for _ in BACKENDS]
    for number, (status, statistics) in enumerate(zip(of_a_kind, BACKENDS, strict=True)):
        status.name, status.statistics = f"{status.name}{number}", statistics
    statuses[:] = [*of_a_kind, network_status()]
    is_ready = of_a_kind[0].ready
    assert get(monitor, "/healthz")[0] == 200
    assert get(monitor, "/readyz")[0] == (200 if is_ready else 503)
    code, _, text = get(monitor, "/metrics")
    assert code == 200
    found = samples(text)
    assert {found["flanneld_ready", f"network={status.name}"] for status in of_a_kind} == {is_ready}
    code, _, text = get(monitor, "/state")
    assert code == 200
    # RFC 8259 knows neither infinity nor NaN.
    told = json.loads(text, parse_constant=pytest.fail)
    assert problems("flanneld-state", told) == []
    assert told["schema_version"] == 1
    assert [network["ready"] for network in told["networks"]] == [*[is_ready] * len(BACKENDS), True]


def test_refused_leases_are_told_as_the_schema_of_state_says(monitor, statuses):
    held = lease("10.2.60.0/24", "192.168.199.60")
    statuses[0].refusals = Refusals({"its subnet is ours": 25}, ((held, "10.2.60.0/24 is ours"),))
    told = json.loads(get(monitor, "/state")[2])
    assert problems("flanneld-state", told) == []
    assert told["networks"][0]["refused_leases"] == {
        "by_fault": {"its subnet is ours": 25},
        "some": [
            {
                **PEER,
                "subnet": "10.2.60.0/24",
                "public_ip": "192.168.199.60",
                "reason": "10.2.60.0/24 is ours",
            }
        ],
    }


def test_the_schema_of_state_leaves_no_key_out_and_allows_no_other(monitor):
    told = json.loads(get(monitor, "/state")[2])
    Draft202012Validator.check_schema(SCHEMAS["flanneld-state.json"])

    def objects(value: Any) -> Iterator[dict[str, Any]]:
        if isinstance(value, dict):
            yield value
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            yield from objects(item)

    by_name = ("sent", "received", "dropped", "ways", "by_fault")
    keyed = [id(each[key]) for each in objects(told) for key in by_name if key in each]
    for found in objects(told):
        if id(found) in keyed:
            continue
        for key, value in list(found.items()):
            del found[key]
            assert problems("flanneld-state", told), key
            found[key] = value
        found["more"] = 1
        assert problems("flanneld-state", told)
        del found["more"]
    assert problems("flanneld-state", told) == []


def test_what_the_fast_path_has_dropped_is_told(monitor, statuses):
    statuses[0].statistics = on_the_fast_path
    traffic = json.loads(get(monitor, "/state")[2])["networks"][0]["traffic"]
    assert traffic["dropped"]["the sending node does not hold the source's subnet"] == 1 + 5
    assert traffic["sent"] == {"192.168.199.53": {"packets": 2, "bytes": 86}}
    found = samples(get(monitor, "/metrics")[2])
    reason = "reason=the destination is not in our subnet"
    assert found["flanneld_dropped_packets_total", "network=", reason] == 6


def test_statistics_that_cannot_be_read_keep_nothing_else_from_being_told(monitor, statuses):
    statuses[0].statistics = unreadable
    (network,) = json.loads(get(monitor, "/state")[2])["networks"]
    assert network["traffic"] == {"unreadable": "Too many open files"}
    assert "flanneld_ready" in get(monitor, "/metrics")[2]


def test_peers_are_listed_while_another_thread_changes_them():
    peers = {number: number for number in range(500)}
    over = threading.Event()

    def change() -> None:
        number = 500
        while not over.is_set():
            del peers[number - 500]
            peers[number] = number
            number += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2000):
            seen = listed(peers)
            assert 499 <= len(seen) <= 500
            assert list(seen) == sorted(set(seen))
    finally:
        over.set()
        thread.join()


def test_readyz_says_that_an_interface_is_waited_for_and_afterwards_what_it_said_before(monitor, statuses):
    statuses[:] = [
        NetworkStatus("blue"),
        NetworkStatus("green", doing="waiting for the network configuration"),
    ]
    with waiting_on(statuses) as doing:
        doing("waiting for an interface that fits")
        assert get(monitor, "/readyz")[::2] == (
            503,
            "flanneld is not ready yet: network blue: waiting for an interface that fits; "
            "network green: waiting for an interface that fits\n",
        )
    assert [each.doing for each in statuses] == ["starting", "waiting for the network configuration"]
