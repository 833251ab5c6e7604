"""Leases in etcd, spoken over gRPC with an etcd in this process; the real one is in the kernel tests."""

import queue
import socket
from collections.abc import Callable, Iterator

import pytest

from flanneld_py.lease.model import Lease, StoredLease
from flanneld_py.registry import AccessRefused, LeaseAdded, RegistryUnavailable, Reset, WatchMessage
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials
from flanneld_py.registry.etcd import EtcdRegistry
from flanneld_py.registry.etcd.library import etcdrpc
from tests.flanneld_py.fake_etcd import FakeEtcd
from tests.flanneld_py.registry_conformance import (
    ANSWERED,
    OURS,
    PREFIX,
    THEIRS,
    THEM,
    UNANSWERED,
    US,
    Watched,
)

KEY = f"{PREFIX}/subnets/10.2.35.0-24"
VALUE = b'{"PublicIP":"192.168.199.52","PublicIPv6":null}'
THEIR_VALUE = b'{"PublicIP":"192.168.199.53","PublicIPv6":null}'
FLANNEL = Credentials(username="flannel", password="secret")


@pytest.fixture
def etcd() -> Iterator[FakeEtcd]:
    made = FakeEtcd()
    yield made
    made.stop()


@pytest.fixture
def other() -> Iterator[FakeEtcd]:
    """Another member."""
    made = FakeEtcd()
    yield made
    made.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., EtcdRegistry]]:
    made: list[EtcdRegistry] = []

    def connect(
        *endpoints: str, credentials: Credentials = NO_CREDENTIALS, timeout: float = ANSWERED
    ) -> EtcdRegistry:
        made.append(EtcdRegistry(endpoints, PREFIX, credentials, timeout=timeout))
        return made[-1]

    yield connect
    for registry in made:
        registry.close()


@pytest.fixture
def registry(etcd: FakeEtcd, connect: Callable[..., EtcdRegistry]) -> EtcdRegistry:
    return connect(etcd.endpoint)


@pytest.fixture
def dead() -> str:
    """An endpoint where nobody listens: a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_the_configuration_is_under_flannels_key(registry, etcd):
    registry.config()
    assert etcd.asked[-1].key == b"/coreos.com/network/config"


def test_reads_are_linearizable(registry, etcd):
    registry.config()
    registry.snapshot()
    assert not any(request.serializable for request in etcd.asked)


def test_keys_beside_the_subnets_are_not_listed(registry, etcd):
    etcd.put(f"{PREFIX}/subnets-of-others/10.2.35.0-24", VALUE)
    assert registry.snapshot().leases == ()


def test_a_list_may_be_longer_than_what_grpc_allows_by_default(registry, etcd):
    for number in range(5):
        etcd.put(f"{PREFIX}/subnets/10.2.{number}.0-24", VALUE[:-1] + b" " * 2**20 + b"}")
    assert len(registry.snapshot().leases) == 5


def test_a_subnet_is_taken_with_flannels_key_value_and_a_lease_of_a_day(registry, etcd):
    revision = registry.create(OURS, US)
    kv = etcd.keys[KEY.encode()]
    assert (kv.value, kv.mod_revision) == (VALUE, revision)
    assert etcd.leases == {kv.lease: 86400}


def test_a_subnet_that_is_taken_is_left_alone_and_no_lease_stays_behind(registry, etcd):
    etcd.put(KEY, b"somebody else's")
    assert registry.create(OURS, US) is None
    assert etcd.keys[KEY.encode()].value == b"somebody else's"
    assert etcd.leases == {}


def test_a_renewal_is_a_new_lease_if_the_key_is_as_we_wrote_it(registry, etcd):
    first = registry.create(OURS, US)
    lease = etcd.keys[KEY.encode()].lease
    held = StoredLease(Lease(OURS, US), first)
    second = registry.renew(held, US)
    assert second == etcd.keys[KEY.encode()].mod_revision > first
    assert etcd.keys[KEY.encode()].lease != lease


def begun(etcd: FakeEtcd, registry: EtcdRegistry) -> Watched:
    """A watch that the server knows of."""
    watched = Watched(registry, etcd.revision)
    assert etcd.watched.acquire(timeout=10)
    return watched


def test_a_watch_begins_behind_the_list_and_asks_for_a_leader(registry, etcd):
    begun(etcd, registry)
    request, metadata = next(item for item in etcd.asked if isinstance(item, tuple))
    assert (request.key, request.range_end) == (
        b"/coreos.com/network/subnets/",
        b"/coreos.com/network/subnets0",
    )
    assert request.start_revision == 2
    assert metadata["hasleader"] == "true"


def test_a_compaction_ends_the_watch(registry, etcd):
    watched = begun(etcd, registry)
    etcd.tell(etcdrpc.WatchResponse(compact_revision=7, canceled=True))
    assert "7 was compacted" in watched.reset().reason


def test_a_cancelled_watch_ends_with_the_servers_reason(registry, etcd):
    watched = begun(etcd, registry)
    etcd.tell(etcdrpc.WatchResponse(canceled=True, cancel_reason="no leader"))
    assert "no leader" in watched.reset().reason


def test_a_server_that_ends_ends_the_watch(registry, etcd):
    watched = begun(etcd, registry)
    etcd.stop()
    assert watched.reset().reason


def test_a_watch_whose_messages_cannot_be_handled_says_that_it_has_ended(registry, etcd):
    resets: queue.SimpleQueue[Reset] = queue.SimpleQueue()

    def deliver(message: WatchMessage) -> None:
        if not isinstance(message, Reset):
            raise RuntimeError("no room")
        resets.put(message)

    registry.watch(etcd.revision, deliver)
    assert etcd.watched.acquire(timeout=10)
    etcd.put(f"{PREFIX}/subnets/10.2.52.0-24", VALUE)
    assert resets.get(timeout=10) == Reset(f"{etcd.endpoint}: unexpected RuntimeError: no room")


def test_the_next_endpoint_is_asked_when_one_does_not_listen(etcd, connect, dead):
    etcd.put(f"{PREFIX}/config", b"{}")
    assert connect(dead, etcd.endpoint).config() == b"{}"


def test_the_next_endpoint_is_asked_when_one_does_not_answer_and_stays_in_use(etcd, other, connect):
    other.hang()
    etcd.put(f"{PREFIX}/config", b"{}")
    registry = connect(other.endpoint, etcd.endpoint, timeout=UNANSWERED)
    assert registry.config() == b"{}"
    other.running.set()
    registry.config()
    assert len(etcd.asked) == 2


def test_a_probe_that_fails_ends_the_watch_and_leaves_the_endpoint(etcd, other, connect):
    other.put(f"{PREFIX}/config", b"{}")
    registry = connect(etcd.endpoint, other.endpoint, timeout=UNANSWERED)
    watched = begun(etcd, registry)
    etcd.hang()
    with pytest.raises(RegistryUnavailable, match=etcd.endpoint):
        registry.probe()
    assert watched.reset().reason
    assert registry.config() == b"{}"


def test_when_nobody_answers_each_endpoint_is_named_with_its_reason(connect, dead, etcd):
    etcd.hang()
    with pytest.raises(RegistryUnavailable) as caught:
        connect(dead, etcd.endpoint, timeout=UNANSWERED).config()
    refused, silent = str(caught.value).split("; http")
    assert refused.startswith(f"{dead}: unavailable: ")
    assert f"http{silent}".startswith(f"{etcd.endpoint}: deadline exceeded")


# Users


@pytest.fixture
def guarded(etcd: FakeEtcd) -> FakeEtcd:
    """An etcd that lets the user flannel in, and nobody else."""
    etcd.passwords = {"flannel": "secret", "guest": "guest"}
    etcd.allowed = {"flannel"}
    etcd.put(f"{PREFIX}/config", b"{}")
    return etcd


def test_a_user_is_let_in_by_a_password_and_asked_for_it_once(guarded, connect):
    registry = connect(guarded.endpoint, credentials=FLANNEL)
    assert registry.config() == b"{}"
    registry.create(OURS, US)
    assert guarded.authentications == 1


def test_a_token_that_has_ended_is_no_outage(guarded, connect):
    registry = connect(guarded.endpoint, credentials=FLANNEL)
    watched = begun(guarded, registry)
    guarded.tokens.clear()
    assert registry.create(OURS, US) is not None
    guarded.tokens.clear()
    assert registry.probe() == b"{}"
    assert watched.events(1)
    assert guarded.authentications == 3


def test_a_watch_is_begun_as_the_user_even_where_it_comes_first(guarded, connect):
    registry = connect(guarded.endpoint, credentials=FLANNEL)
    watched = Watched(registry, guarded.revision)
    assert guarded.watched.acquire(timeout=10)
    guarded.put(f"{PREFIX}/subnets/10.2.52.0-24", THEIR_VALUE, guarded.lease(60))
    assert watched.events(1) == [LeaseAdded(StoredLease(Lease(THEIRS, THEM), guarded.revision))]


def test_a_wrong_password_is_told_with_the_users_name_and_without_the_password(guarded, connect):
    registry = connect(guarded.endpoint, credentials=Credentials(username="flannel", password="oops"))
    with pytest.raises(
        AccessRefused, match=r"rejects the user 'flannel' or its password: check -etcd-pass"
    ) as caught:
        registry.config()
    assert "oops" not in str(caught.value)


def test_a_user_without_a_role_is_told_what_it_may_not_read(guarded, connect):
    registry = connect(guarded.endpoint, credentials=Credentials(username="guest", password="guest"))
    with pytest.raises(AccessRefused, match=f"user 'guest' may not read and write {PREFIX}: give it a role"):
        registry.snapshot()


def test_an_etcd_that_knows_users_asks_for_one(guarded, connect):
    with pytest.raises(AccessRefused, match="give -etcd-username and -etcd-password"):
        connect(guarded.endpoint).config()


def test_a_user_of_an_etcd_that_knows_none_is_let_in(etcd, connect):
    etcd.put(f"{PREFIX}/config", b"{}")
    assert connect(etcd.endpoint, credentials=FLANNEL).config() == b"{}"


def test_users_that_are_introduced_while_we_run_are_no_outage(etcd, connect):
    registry = connect(etcd.endpoint, credentials=FLANNEL)
    registry.snapshot()
    etcd.passwords, etcd.allowed = {"flannel": "secret"}, {"flannel"}
    assert registry.create(OURS, US) is not None


def test_a_member_that_refuses_us_is_left_for_one_that_does_not(guarded, other, connect):
    other.put(f"{PREFIX}/config", b"other")
    assert connect(guarded.endpoint, other.endpoint).config() == b"other"
