"""Leases in etcd, spoken over gRPC with an etcd in this process; the real one is in the kernel tests."""

import queue
import socket
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanneld_py.allocate import HeldLease, Replace
from flanneld_py.lease import Lease, LeaseAttrs
from flanneld_py.registry import Changes, Gone, Put, Reset, Spoiled, Stopped, Unavailable, WatchMessage
from flanneld_py.registry import etcd as module
from flanneld_py.registry.etcd import EtcdRegistry
from flanneld_py.registry.etcd_library import etcdrpc
from tests.flanneld_py.fake_etcd import FakeEtcd

PREFIX = "/coreos.com/network"
# The tutorial's two minions.
OURS, THEIRS = IPv4Network("10.2.35.0/24"), IPv4Network("10.2.52.0/24")
ATTRS = LeaseAttrs(IPv4Address("192.168.199.52"))
KEY = f"{PREFIX}/subnets/10.2.35.0-24"
VALUE = b'{"PublicIP":"192.168.199.52","PublicIPv6":null}'


@pytest.fixture
def etcd() -> Iterator[FakeEtcd]:
    made = FakeEtcd()
    yield made
    made.stop()


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EtcdRegistry]]:
    monkeypatch.setattr(module, "TIMEOUT", 0.5)
    made: list[EtcdRegistry] = []

    def connect(*endpoints: str) -> EtcdRegistry:
        made.append(EtcdRegistry(endpoints, PREFIX))
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
    assert registry.config() is None
    etcd.put(f"{PREFIX}/config", b"{}")
    assert registry.config() == b"{}"
    assert etcd.asked[-1].key == b"/coreos.com/network/config"


def test_reads_are_linearizable(registry, etcd):
    registry.config()
    registry.snapshot()
    assert not any(request.serializable for request in etcd.asked)


def test_a_subnet_is_taken_with_flannels_key_value_and_a_lease_of_a_day(registry, etcd):
    revision = registry.create(OURS, ATTRS)
    kv = etcd.keys[KEY.encode()]
    assert (kv.value, kv.mod_revision) == (VALUE, revision)
    assert etcd.leases == {kv.lease: 86400}


def test_a_subnet_that_is_taken_is_left_alone_and_no_lease_stays_behind(registry, etcd):
    etcd.put(KEY, b"somebody else's")
    assert registry.create(OURS, ATTRS) is None
    assert etcd.keys[KEY.encode()].value == b"somebody else's"
    assert etcd.leases == {}


def test_a_renewal_is_a_new_lease_if_the_key_is_as_we_wrote_it(registry, etcd):
    first = registry.create(OURS, ATTRS)
    lease = etcd.keys[KEY.encode()].lease
    second = registry.renew(OURS, first, ATTRS)
    assert second == etcd.keys[KEY.encode()].mod_revision > first
    assert etcd.keys[KEY.encode()].lease != lease
    assert registry.renew(OURS, first, ATTRS) is None


def test_one_subnet_is_given_for_another_or_neither(registry, etcd):
    revision = registry.create(OURS, ATTRS)
    assert revision is not None
    held = HeldLease(Lease(OURS, ATTRS), revision)
    etcd.put(f"{PREFIX}/subnets/10.2.52.0-24", VALUE)
    assert registry.replace(Replace(held, THEIRS), ATTRS) is None
    assert KEY.encode() in etcd.keys
    etcd.delete(f"{PREFIX}/subnets/10.2.52.0-24")
    assert (
        registry.replace(Replace(held, THEIRS), ATTRS)
        == etcd.keys[b"%b/subnets/10.2.52.0-24" % PREFIX.encode()].mod_revision
    )
    assert KEY.encode() not in etcd.keys


def test_a_list_has_leases_spoiled_keys_and_one_warning_for_each_that_is_no_lease(registry, etcd, caplog):
    etcd.put(KEY, VALUE)
    etcd.put(f"{PREFIX}/subnets/10.2.52.0-24", b"junk")
    etcd.put(f"{PREFIX}/subnets/not-a-subnet", VALUE)
    etcd.put(f"{PREFIX}/subnets-of-others/10.2.7.0-24", VALUE)
    for _ in range(2):
        snapshot = registry.snapshot()
        assert snapshot.leases == (HeldLease(Lease(OURS, ATTRS), 2),)
        assert snapshot.spoiled == (Spoiled(THEIRS, 3),)
        assert snapshot.revision == 5
    assert len(caplog.records) == 2


class Watched:
    """The messages of a watch, as they come."""

    def __init__(self, registry: EtcdRegistry, revision: int) -> None:
        self.messages: queue.SimpleQueue[WatchMessage] = queue.SimpleQueue()
        registry.watch(revision, self.messages.put)

    def next(self) -> WatchMessage:
        return self.messages.get(timeout=10)


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


def test_a_watch_tells_of_leases_junk_and_deletions(registry, etcd, caplog):
    watched = begun(etcd, registry)
    name = f"{PREFIX}/subnets/10.2.52.0-24"
    etcd.put(f"{PREFIX}/subnets/not-a-subnet", VALUE)
    etcd.put(name, VALUE)
    etcd.put(name, b"junk")
    etcd.delete(name)
    put, spoiled, gone = watched.next(), watched.next(), watched.next()
    assert put == Changes((Put(HeldLease(Lease(THEIRS, ATTRS), etcd.revision - 2)),))
    assert spoiled == Changes((Spoiled(THEIRS, etcd.revision - 1),))
    assert gone == Changes((Gone(THEIRS, etcd.revision),))
    assert "not-a-subnet" in caplog.text


def test_a_compaction_ends_the_watch(registry, etcd):
    watched = begun(etcd, registry)
    etcd.tell(etcdrpc.WatchResponse(compact_revision=7, canceled=True))
    message = watched.next()
    assert isinstance(message, Reset)
    assert "7 was compacted" in message.reason


def test_a_cancelled_watch_ends_with_the_servers_reason(registry, etcd):
    watched = begun(etcd, registry)
    etcd.tell(etcdrpc.WatchResponse(canceled=True, cancel_reason="no leader"))
    message = watched.next()
    assert isinstance(message, Reset)
    assert "no leader" in message.reason


def test_a_server_that_ends_ends_the_watch(registry, etcd):
    watched = begun(etcd, registry)
    etcd.stop()
    assert isinstance(watched.next(), Reset)


def test_a_watch_whose_messages_cannot_be_handled_says_that_it_has_ended(registry, etcd):
    resets: queue.SimpleQueue[Reset] = queue.SimpleQueue()

    def deliver(message: WatchMessage) -> None:
        if not isinstance(message, Reset):
            raise RuntimeError("no room")
        resets.put(message)

    registry.watch(etcd.revision, deliver)
    assert etcd.watched.acquire(timeout=10)
    etcd.put(f"{PREFIX}/subnets/10.2.52.0-24", VALUE)
    assert resets.get(timeout=10) == Reset("unexpected RuntimeError: no room")


def test_a_new_watch_ends_the_one_before_in_silence(registry, etcd):
    first = begun(etcd, registry)
    second = begun(etcd, registry)
    etcd.put(f"{PREFIX}/subnets/10.2.52.0-24", VALUE)
    second.next()
    assert first.messages.empty()


def test_the_next_endpoint_is_asked_when_one_does_not_listen(etcd, connect, dead):
    etcd.put(f"{PREFIX}/config", b"{}")
    assert connect(dead, etcd.endpoint).config() == b"{}"


def test_the_next_endpoint_is_asked_when_one_does_not_answer_and_stays_in_use(etcd, connect):
    silent = FakeEtcd()
    silent.hang()
    try:
        etcd.put(f"{PREFIX}/config", b"{}")
        registry = connect(silent.endpoint, etcd.endpoint)
        assert registry.config() == b"{}"
        silent.running.set()
        registry.config()
        assert len(etcd.asked) == 2
    finally:
        silent.stop()


def test_a_probe_that_fails_ends_the_watch_and_leaves_the_endpoint(etcd, connect):
    other = FakeEtcd()
    try:
        other.put(f"{PREFIX}/config", b"{}")
        registry = connect(etcd.endpoint, other.endpoint)
        watched = begun(etcd, registry)
        etcd.hang()
        with pytest.raises(Unavailable, match=etcd.endpoint):
            registry.probe()
        assert isinstance(watched.next(), Reset)
        assert registry.config() == b"{}"
    finally:
        other.stop()


def test_when_nobody_answers_each_endpoint_is_named_with_its_reason(connect, dead, etcd):
    etcd.hang()
    with pytest.raises(Unavailable) as caught:
        connect(dead, etcd.endpoint).config()
    refused, silent = str(caught.value).split("; http")
    assert refused.startswith(f"{dead}: unavailable: ")
    assert f"http{silent}".startswith(f"{etcd.endpoint}: deadline exceeded")


def test_after_close_nothing_is_answered(registry):
    registry.close()
    with pytest.raises(Stopped):
        registry.config()
