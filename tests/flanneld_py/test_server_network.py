"""One network as its server has it, where its watch is slower than its clients, or quicker."""

import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from flanneld_py.lease.allocate import Pick
from flanneld_py.monitor.status import NetworkStatus
from flanneld_py.registry import LeaseAdded, Snapshot
from flanneld_py.registry.remote.protocol import WatchResult
from flanneld_py.runtime.clock import Queue, Time
from flanneld_py.server.network import Network
from lab import wait
from tests.flanneld_py.made import attrs, subnet
from tests.flanneld_py.memory_registry import MemoryRegistry
from tests.flanneld_py.shared_etcd import SharedEtcd

T = TypeVar("T")

BEFORE, RESTORED, AFTER = subnet("10.2.35.0/24"), subnet("10.2.52.0/24"), subnet("10.2.77.0/24")


class SlowToHear(Time):
    """What a watch has told is heard only once that is let."""

    def __init__(self) -> None:
        super().__init__()
        self.listens, self.hears = threading.Event(), threading.Event()

    def receive(self, event_queue: Queue[T], seconds: float) -> T | None:
        self.listens.set()
        assert self.hears.wait(10)
        return super().receive(event_queue, seconds)


class Overtaken(MemoryRegistry):
    """Once, somebody else writes when a list has been made, and the watch tells before the list is here."""

    overtake: Callable[[], None] | None = None

    def snapshot(self) -> Snapshot:
        made = super().snapshot()
        overtake, self.overtake = self.overtake, None
        if overtake is not None:
            overtake()
        return made


@pytest.fixture
def time() -> SlowToHear:
    return SlowToHear()


@pytest.fixture
def etcd() -> SharedEtcd:
    return SharedEtcd()


@pytest.fixture
def store(etcd: SharedEtcd) -> Overtaken:
    return Overtaken(etcd)


@pytest.fixture
def network(time: SlowToHear, store: Overtaken) -> Iterator[Network]:
    made = Network("", store, lambda _: Pick(), time, NetworkStatus(""))
    assert time.listens.wait(10)
    yield made
    time.stopping.set()
    time.hears.set()
    made.close()


def restore(etcd: SharedEtcd) -> None:
    """Begin anew with what an old backup held."""
    etcd.revision, etcd._stored = 1, {}
    etcd.put(RESTORED, attrs("192.168.199.53"))
    etcd.compact()


def test_an_etcd_that_was_restored_and_outgrew_its_past_before_the_watch_heard_of_it_is_listed_again(
    network, time, etcd
):
    for _ in range(20):
        etcd.put(BEFORE, attrs("192.168.199.52"))
    known = network.list()
    restore(etcd)
    etcd.break_watches()
    seen = network.list()
    assert seen.cursor < known.cursor
    while etcd.revision <= known.cursor:
        etcd.put(AFTER, attrs("192.168.199.77"))
    time.hears.set()

    told = network.since(known.cursor, known.epoch)
    assert told is not None
    assert told.snapshot is not None

    def heard() -> WatchResult | wait.NotYet:
        return network.since(seen.cursor, seen.epoch) or wait.NotYet("nothing")

    told = wait.until(heard, what="what happened since the restoration", timeout=10)
    assert [event.held.lease.subnet for event in told.events if isinstance(event, LeaseAdded)] == [AFTER]
    assert len(told.events) == 1


def test_a_list_that_the_watch_has_overtaken_costs_nobody_an_event(network, time, etcd, store):
    time.hears.set()
    before = network.list()

    def overtake() -> None:
        etcd.put(AFTER, attrs("192.168.199.77"))
        wait.until(
            lambda: network.since(before.cursor, before.epoch) is not None or wait.NotYet("nothing"),
            what="the watch to be heard",
            timeout=10,
        )

    store.overtake = overtake
    listed = network.list()
    assert (listed.cursor, listed.epoch) == (before.cursor, before.epoch)
    told = network.since(listed.cursor, listed.epoch)
    assert told is not None
    assert [event.held.lease.subnet for event in told.events if isinstance(event, LeaseAdded)] == [AFTER]
