"""Leases in etcd v2, spoken over HTTP with an etcd in this process; the real one is in the kernel tests.

Requests and values are those of the genuine v0.5.5, but for quorum reads and prevIndex.
"""

import errno
import http.client
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from flanneld_py.errors import Fatal
from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease
from flanneld_py.registry import (
    AccessRefused,
    LeaseRemoved,
    LeaseUnreadable,
    RegistryUnavailable,
    Snapshot,
)
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials
from flanneld_py.registry.etcd2 import Etcd2Registry, watch
from flanneld_py.registry.etcd2.client import Etcd2Client, Etcd2Response, LongPoll
from flanneld_py.subnet import Subnet
from lab import wait
from tests.flanneld_py.fake_etcd2 import Asked, FakeEtcd2
from tests.flanneld_py.registry_conformance import (
    ANSWERED,
    DUAL,
    OURS,
    PREFIX,
    THEIRS,
    UNANSWERED,
    US,
    Watched,
    following,
)
from tests.flanneld_py.test_registry_conformance import Etcd2InProcess

KEY = f"{PREFIX}/subnets/10.2.35.0-24"
FLANNEL = Credentials(username="flannel", password="secret")


class BreaksAtOnce:
    """An etcd whose connections all break when each of its watches waits, and cannot be ended any more.

    `trouble` is what urllib3 or the kernel says to a thread that wants to end such a connection.
    """

    def __init__(self, trouble: Exception, *, watches: int) -> None:
        self.headers = {"X-Etcd-Index": "1"}
        self._trouble = trouble
        self._all_wait = threading.Barrier(watches, timeout=10)

    def wait(self, _key: str, _index: int, _timeout: float) -> LongPoll:
        return LongPoll(cast(BaseHTTPResponse, self), self._broken)

    def _broken(self, _response: object) -> Etcd2Response:
        self._all_wait.wait()
        raise ProtocolError("Connection broken")

    def shutdown(self) -> None:
        raise self._trouble


@pytest.fixture
def world() -> Iterator[Etcd2InProcess]:
    made = Etcd2InProcess()
    yield made
    made.close()


@pytest.fixture
def etcd(world: Etcd2InProcess) -> FakeEtcd2:
    return world.etcd


@pytest.fixture
def other() -> Iterator[FakeEtcd2]:
    """Another member."""
    made = FakeEtcd2()
    yield made
    made.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Etcd2Registry]]:
    made: list[Etcd2Registry] = []

    def connect(
        *endpoints: str, credentials: Credentials = NO_CREDENTIALS, timeout: float = ANSWERED
    ) -> Etcd2Registry:
        made.append(Etcd2Registry(endpoints, PREFIX, credentials, timeout=timeout))
        return made[-1]

    yield connect
    for registry in made:
        registry.close()


@pytest.fixture
def registry(etcd: FakeEtcd2, connect: Callable[..., Etcd2Registry]) -> Etcd2Registry:
    return connect(etcd.endpoint)


@pytest.fixture
def dead() -> str:
    """An endpoint where nobody listens: a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


# The wire


def test_the_configuration_is_read_by_a_quorum(registry, etcd):
    registry.config()
    assert etcd.asked[-1] == Asked("GET", "/v2/keys/coreos.com/network/config", "quorum=true", "", "")


def test_all_leases_are_read_at_once_by_a_quorum(registry, etcd):
    registry.snapshot()
    path, query = "/v2/keys/coreos.com/network/subnets", "quorum=true&recursive=true"
    assert etcd.asked[-1] == Asked("GET", path, query, "", "")


def test_a_subnet_is_taken_with_the_genuine_request(registry, etcd):
    registry.create(OURS, US)
    assert etcd.asked[-1] == Asked(
        "PUT", "/v2/keys/coreos.com/network/subnets/10.2.35.0-24", "prevExist=false",
        "ttl=86400&value=%7B%22PublicIP%22%3A%22192.168.199.52%22%7D", "",
    )  # fmt: skip


def test_a_vxlan_lease_says_what_v0_5_5_says(registry, etcd):
    data = {"VNI": 1, "VtepMAC": "8e:1e:31:c7:4b:37"}
    registry.create(OURS, LeaseAttrs(US.public, "vxlan", data))
    value = (
        '{"PublicIP":"192.168.199.52","BackendType":"vxlan","BackendData":{"VtepMAC":"8e:1e:31:c7:4b:37"}}'
    )
    assert etcd.keys[KEY].value == value


def test_a_renewal_names_the_index_that_it_knows(registry, etcd):
    held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
    registry.renew(held, US)
    asked = etcd.asked[-1]
    assert (asked.method, asked.query) == ("PUT", f"prevIndex={held.revision}")
    assert asked.form.startswith("ttl=86400&")


def test_a_reservation_is_renewed_without_an_end(registry, etcd):
    etcd.write(KEY, '{"PublicIP":"192.168.199.52"}')
    (held,) = registry.snapshot().leases
    assert registry.renew(held, US) is not None
    assert "ttl" not in etcd.asked[-1].form
    assert etcd.keys[KEY].ttl is None


def test_a_subnet_is_given_for_another_by_taking_the_new_one_first(registry, etcd):
    held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
    registry.replace(held, THEIRS, US)
    assert [(asked.method, asked.query) for asked in etcd.asked[-2:]] == [
        ("PUT", "prevExist=false"),
        ("DELETE", f"prevIndex={held.revision}"),
    ]


def test_an_exchange_that_etcd_breaks_off_leaves_a_lease_that_is_found_again(registry, etcd, world):
    world.configure(b'{ "Network": "10.2.0.0/16" }')
    held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
    etcd.refuse_deletions = True
    with pytest.raises(RegistryUnavailable, match="Raft Internal Error"):
        registry.replace(held, THEIRS, US)
    assert {item.lease.subnet for item in registry.snapshot().leases} == {OURS, THEIRS}


def test_a_watch_asks_for_the_first_event_after_its_index(registry, etcd):
    Watched(registry, 7)
    etcd.await_watch()
    path, query = "/v2/keys/coreos.com/network/subnets", "recursive=true&wait=true&waitIndex=8"
    assert etcd.asked[-1] == Asked("GET", path, query, "", "")


# What others do to the directory


def test_a_directory_where_a_lease_is_expected_is_spoiled(registry, etcd):
    etcd.write(KEY, "")
    assert registry.snapshot().spoiled == (LeaseUnreadable(OURS, etcd.index),)


@pytest.mark.parametrize("directory", [f"{PREFIX}/subnets", PREFIX, "/coreos.com"])
def test_the_deletion_of_the_directory_ends_the_watch(registry, etcd, world, directory):
    watched = following(registry, world)
    etcd.delete_directory(directory)
    assert watched.reset().reason == f"{etcd.endpoint}: {directory} was deleted"
    assert registry.snapshot() == Snapshot((), etcd.index)


def test_a_deletion_that_compared_is_a_deletion(registry, etcd, world):
    held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
    watched = following(registry, world)
    registry.remove(held)
    assert watched.events(1) == [LeaseRemoved(OURS, etcd.index)]


def test_a_history_that_is_cleared_while_nothing_happens_to_us_costs_a_new_list_only(
    registry, etcd, world, monkeypatch
):
    answer = LongPoll.answer

    def soon(poll: LongPoll) -> Etcd2Response | None:
        connection = cast(http.client.HTTPConnection, poll._response.connection)
        connection.sock.settimeout(0.1)  # for the event; etcd has answered that it waits
        return answer(poll)

    monkeypatch.setattr(LongPoll, "answer", soon)
    watched = following(registry, world)
    asked = len(etcd.asked)
    etcd.write("/elsewhere", "x")

    def again() -> bool | wait.NotYet:
        return len(etcd.asked) >= asked + 3 or wait.NotYet(etcd.asked)

    # A request that brought nothing is repeated, from etcd's index on.
    wait.until(again, what="the watch to ask three times more", timeout=10)
    assert etcd.asked[-1].query.endswith(f"waitIndex={etcd.index + 1}")
    world.put("10.2.35.0-24", world.value("192.168.199.52"))
    watched.events(1)


def test_an_etcd_that_began_anew_ends_the_watch(registry, etcd):
    watched = Watched(registry, 1000)
    told = f"{etcd.endpoint}: etcd's index went back from 1000 to {etcd.index}"
    assert watched.reset().reason == told


# IPv6


@pytest.mark.parametrize(
    "trouble",
    [
        ValueError("Cannot shutdown socket as self._sock_shutdown is not set"),
        RuntimeError("Cannot shutdown as connection has already been released"),
        OSError(errno.EBADF, "Bad file descriptor"),
        OSError(errno.ENOTCONN, "Transport endpoint is not connected"),
    ],
    ids=lambda trouble: str(trouble),
)
def test_watches_whose_connections_break_at_one_time_say_so_once(trouble):
    ends = queue.SimpleQueue[str]()
    etcd = cast(Etcd2Client, BreaksAtOnce(trouble, watches=2))

    watch.Etcd2Watches(etcd, {"/a": lambda _: "", "/b": lambda _: ""}, 1, on_end=ends.put)

    assert ends.get(timeout=10) == "ProtocolError: Connection broken"
    assert ends.empty()


def test_an_overlay_with_ipv6_is_refused(registry):
    with pytest.raises(Fatal, match=r"v0\.5\.5, which supports IPv4 only: use -etcd-api v3"):
        registry.require(DUAL)


def test_a_subnet_with_ipv6_is_refused(registry):
    with pytest.raises(Fatal, match="IPv4 only"):
        registry.create(Subnet(IPv4Network("10.2.35.0/24"), IPv6Network("2001:cafe:42:1::/64")), US)


# Trouble


def test_an_etcd_without_the_v2_api_is_told_what_it_needs(registry, etcd):
    etcd.enabled = False
    with pytest.raises(AccessRefused, match="etcd needs --enable-v2=true"):
        registry.config()


def test_an_error_of_etcd_is_told_in_its_words(registry, etcd):
    held = StoredLease(Lease(OURS, US), registry.create(OURS, US))
    etcd.refuse_deletions = True
    with pytest.raises(RegistryUnavailable, match="HTTP status 500: Raft Internal Error"):
        registry.remove(held)


def test_a_member_that_sends_us_on_is_followed(other, etcd, connect):
    etcd.write(f"{PREFIX}/config", "{}")
    other.redirect = etcd.endpoint
    registry = connect(other.endpoint)
    assert registry.config() == b"{}"
    assert registry.create(OURS, US) == etcd.keys[KEY].modified


def test_the_next_endpoint_is_asked_when_one_does_not_listen(etcd, connect, dead):
    etcd.write(f"{PREFIX}/config", "{}")
    assert connect(dead, etcd.endpoint).config() == b"{}"


def test_the_next_endpoint_is_asked_when_one_does_not_answer_and_stays_in_use(etcd, other, connect):
    other.hang()
    etcd.write(f"{PREFIX}/config", "{}")
    registry = connect(other.endpoint, etcd.endpoint, timeout=UNANSWERED)
    assert registry.config() == b"{}"
    other.running.set()
    registry.config()
    assert len(etcd.asked) == 2


def test_a_probe_that_fails_ends_the_watch_and_leaves_the_endpoint(etcd, other, connect, world):
    other.write(f"{PREFIX}/config", "{}")
    registry = connect(etcd.endpoint, other.endpoint, timeout=UNANSWERED)
    watched = following(registry, world)
    etcd.hang()
    with pytest.raises(RegistryUnavailable, match=etcd.endpoint):
        registry.probe()
    assert watched.reset().reason
    assert registry.config() == b"{}"


def test_when_nobody_answers_each_endpoint_is_named_with_its_reason(connect, dead, etcd):
    etcd.hang()
    with pytest.raises(RegistryUnavailable) as caught:
        connect(dead, etcd.endpoint, timeout=UNANSWERED).config()
    assert str(caught.value) == (
        f"{dead}: [Errno 111] Connection refused; {etcd.endpoint}: no answer within {UNANSWERED:g} s"
    )


def test_something_else_that_answers_is_no_etcd(registry, etcd):
    etcd.babbles = "<html>It works!</html>"
    with pytest.raises(RegistryUnavailable, match="HTTP status 200, and no JSON: '<html>It works!"):
        registry.snapshot()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([KEY, "delete", "10.2.35.0-24"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["action", "node", "nodes", "key", "value", "modifiedIndex", "errorCode", "index"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=JSON | st.binary().map(lambda data: data.decode("latin-1")))
def test_whatever_is_answered_is_an_answer_or_no_etcd(registry, etcd, body):
    etcd.babbles = body if isinstance(body, str) else json.dumps(body)
    for ask in (registry.config, registry.snapshot, lambda: registry.create(OURS, US)):
        with suppress(RegistryUnavailable):
            ask()


# Users


def test_a_user_is_let_in_by_a_password(etcd, connect, world):
    etcd.users = {"flannel:secret"}
    etcd.write(f"{PREFIX}/config", "{}")
    registry = connect(etcd.endpoint, credentials=FLANNEL)
    assert registry.config() == b"{}"
    following(registry, world)


def test_a_password_may_be_of_any_letters(etcd, connect):
    etcd.users = {"flannel:пароль"}
    assert (
        connect(etcd.endpoint, credentials=Credentials(username="flannel", password="пароль")).config()
        is None
    )


def test_a_wrong_password_is_told_with_the_users_name_and_without_the_password(etcd, connect):
    etcd.users = {"flannel:secret"}
    registry = connect(etcd.endpoint, credentials=Credentials(username="flannel", password="oops"))
    with pytest.raises(AccessRefused, match=f"the user 'flannel' read and write {PREFIX}") as caught:
        registry.config()
    assert "oops" not in str(caught.value)


def test_an_etcd_that_knows_users_asks_for_one(etcd, connect):
    etcd.users = {"flannel:secret"}
    with pytest.raises(AccessRefused, match="give -etcd-username and -etcd-password"):
        connect(etcd.endpoint).config()
