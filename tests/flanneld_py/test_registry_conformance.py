"""Every kind of registry keeps to the contract: in memory, and etcd's two with a server in this process."""

from collections.abc import Iterator
from typing import Protocol

import pytest

from flanneld_py.lease.model import Lease, StoredLease
from flanneld_py.registry import Announcement, announcements
from flanneld_py.registry.etcd import EtcdRegistry
from flanneld_py.registry.etcd2 import Etcd2Registry
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.subnet import parse_key
from tests.flanneld_py.announcements_conformance import BesideContract
from tests.flanneld_py.fake_etcd import FakeEtcd
from tests.flanneld_py.fake_etcd2 import FakeEtcd2
from tests.flanneld_py.memory_registry import MemoryEtcd, MemoryRegistry
from tests.flanneld_py.registry_conformance import (
    ANSWERED,
    DAY,
    OURS,
    PREFIX,
    US,
    DualStackContract,
    StoreContract,
    Stored,
    following,
)


class Memory:
    """See `World`."""

    def __init__(self) -> None:
        self.now = 0.0
        self.etcd = MemoryEtcd(lambda: self.now)

    def value(self, address: str) -> bytes:
        return b'{"PublicIP":"%b","PublicIPv6":null}' % address.encode()

    def connect(self, timeout: float = ANSWERED) -> LeaseStore:  # noqa: ARG002 (answers at once)
        return MemoryRegistry(self.etcd)

    def configure(self, text: bytes) -> None:
        self.etcd.config = text

    def put(self, name: str, value: bytes, *, permanent: bool = False) -> int:
        return self.etcd.put_raw(name, value, ttl=float("inf") if permanent else DAY)

    def put_brief(self, name: str, value: bytes) -> None:
        self.etcd.put_raw(name, value, ttl=1)
        self.now += 1
        self.etcd.snapshot()

    def put_for(self, seconds: int, name: str, value: bytes) -> int:
        return self.etcd.put_raw(name, value, ttl=seconds)

    def let_pass(self, seconds: int) -> None:
        self.now += seconds
        self.etcd.snapshot()

    def delete(self, name: str) -> None:
        self.etcd.delete_raw(name)

    def say(self, kind: str, name: str, value: bytes) -> None:
        self.etcd.say_raw(kind, name, value)

    def unsay(self, kind: str, name: str) -> None:
        self.etcd.say_raw(kind, name, b"")

    def said(self, kind: str, name: str) -> Stored | None:
        lease = self.stored(name)
        for said in self.etcd.said(kind):
            if said.subnet == parse_key(name):
                return Stored(said.text, 0, None if lease is None else lease.ttl)
        return None

    def stored(self, name: str) -> Stored | None:
        found = self.etcd.read_raw(name)
        if found is None:
            return None
        ttl = found.expires_at - self.now
        return Stored(found.value, found.revision, None if found.permanent else ttl)

    def forget(self) -> None:
        self.etcd.compact()

    def break_connections(self) -> None:
        self.etcd.break_watches()

    def pause(self) -> None:
        self.etcd.reachable = False

    def resume(self) -> None:
        self.etcd.reachable = True


class EtcdInProcess:
    """See `World`."""

    def __init__(self) -> None:
        self.etcd = FakeEtcd()
        self.connected: list[LeaseStore] = []

    def close(self) -> None:
        for registry in self.connected:
            registry.close()
        self.etcd.stop()

    def value(self, address: str) -> bytes:
        return b'{"PublicIP":"%b","PublicIPv6":null}' % address.encode()

    def connect(self, timeout: float = ANSWERED) -> LeaseStore:
        self.connected.append(EtcdRegistry([self.etcd.endpoint], PREFIX, timeout=timeout))
        return self.connected[-1]

    def configure(self, text: bytes) -> None:
        self.etcd.put(f"{PREFIX}/config", text)

    def put(self, name: str, value: bytes, *, permanent: bool = False) -> int:
        with self.etcd.lock:
            self.etcd.put(f"{PREFIX}/subnets/{name}", value, 0 if permanent else self.etcd.lease(DAY))
            return self.etcd.revision

    def put_brief(self, name: str, value: bytes) -> None:
        self.put(name, value)
        self.delete(name)  # what etcd tells of the end of a lease is no different

    def put_for(self, seconds: int, name: str, value: bytes) -> int:
        with self.etcd.lock:
            self.etcd.put(f"{PREFIX}/subnets/{name}", value, self.etcd.lease(seconds))
            return self.etcd.revision

    def let_pass(self, seconds: int) -> None:
        self.etcd.end_leases(seconds)

    def delete(self, name: str) -> None:
        self.etcd.delete(f"{PREFIX}/subnets/{name}")

    def stored(self, name: str) -> Stored | None:
        return self._stored(f"{PREFIX}/subnets/{name}")

    def say(self, kind: str, name: str, value: bytes) -> None:
        self.etcd.put(f"{PREFIX}-ext/{kind}/{name}", value)

    def unsay(self, kind: str, name: str) -> None:
        self.etcd.delete(f"{PREFIX}-ext/{kind}/{name}")

    def said(self, kind: str, name: str) -> Stored | None:
        return self._stored(f"{PREFIX}-ext/{kind}/{name}")

    def _stored(self, key: str) -> Stored | None:
        kv = self.etcd.keys.get(key.encode())
        return kv and Stored(kv.value, kv.mod_revision, self.etcd.leases.get(kv.lease))

    def forget(self) -> None:
        self.etcd.put("/elsewhere", b"")  # what happened at the revision of a compaction stays known
        self.etcd.compact()

    def break_connections(self) -> None:
        self.etcd.break_watches()

    def pause(self) -> None:
        self.etcd.hang()

    def resume(self) -> None:
        self.etcd.running.set()


class Etcd2InProcess:
    """See `World`."""

    def __init__(self) -> None:
        self.etcd = FakeEtcd2()
        self.connected: list[LeaseStore] = []

    def close(self) -> None:
        for registry in self.connected:
            registry.close()
        self.etcd.stop()

    def value(self, address: str) -> bytes:
        return b'{"PublicIP":"%b"}' % address.encode()

    def connect(self, timeout: float = ANSWERED) -> LeaseStore:
        self.connected.append(Etcd2Registry([self.etcd.endpoint], PREFIX, timeout=timeout))
        return self.connected[-1]

    def configure(self, text: bytes) -> None:
        self.etcd.write(f"{PREFIX}/config", text.decode())

    def put(self, name: str, value: bytes, *, permanent: bool = False) -> int:
        event = self.etcd.write(f"{PREFIX}/subnets/{name}", value.decode(), None if permanent else DAY)
        return int(event["node"]["modifiedIndex"])

    def put_brief(self, name: str, value: bytes) -> None:
        self.put(name, value)
        self.etcd.delete(f"{PREFIX}/subnets/{name}", action="expire")

    def put_for(self, seconds: int, name: str, value: bytes) -> int:
        event = self.etcd.write(f"{PREFIX}/subnets/{name}", value.decode(), seconds)
        return int(event["node"]["modifiedIndex"])

    def let_pass(self, seconds: int) -> None:
        for key in [key for key, item in self.etcd.keys.items() if item.ttl and item.ttl <= seconds]:
            self.etcd.delete(key, action="expire")

    def delete(self, name: str) -> None:
        self.etcd.delete(f"{PREFIX}/subnets/{name}")

    def stored(self, name: str) -> Stored | None:
        return self._stored(f"{PREFIX}/subnets/{name}")

    def say(self, kind: str, name: str, value: bytes) -> None:
        self.etcd.write(f"{PREFIX}-ext/{kind}/{name}", value.decode())

    def unsay(self, kind: str, name: str) -> None:
        self.etcd.delete(f"{PREFIX}-ext/{kind}/{name}")

    def said(self, kind: str, name: str) -> Stored | None:
        return self._stored(f"{PREFIX}-ext/{kind}/{name}")

    def _stored(self, key: str) -> Stored | None:
        found = self.etcd.keys.get(key)
        return None if found is None else Stored(found.value.encode(), found.modified, found.ttl)

    def forget(self) -> None:
        self.etcd.clear_history()

    def break_connections(self) -> None:
        self.etcd.await_watch()
        self.etcd.break_watches()

    def pause(self) -> None:
        self.etcd.hang()

    def resume(self) -> None:
        self.etcd.running.set()


class Guarded(EtcdInProcess):
    """An etcd in which nobody may read, or write, what is said."""

    def forbid(self, *, read_only: bool) -> None:
        self.etcd.forbidden, self.etcd.read_only = f"{PREFIX}-ext/".encode(), read_only

    def allow(self) -> None:
        self.etcd.forbidden = b"\xff"


class Guarded2(Etcd2InProcess):
    """Likewise, by the v2 API."""

    def forbid(self, *, read_only: bool) -> None:
        self.etcd.forbidden, self.etcd.read_only = f"{PREFIX}-ext/", read_only

    def allow(self) -> None:
        self.etcd.forbidden = "nothing"


class Server(Protocol):
    def close(self) -> None: ...


def served(server: Server) -> Iterator[Server]:
    """A server, until the test ends."""
    try:
        yield server
    finally:
        server.close()


class TestMemory(StoreContract, DualStackContract):
    # It is for the daemons of one thread.
    cannot = frozenset({"test_of_many_that_take_leases_at_once_no_two_have_the_same"})

    @pytest.fixture
    def world(self) -> Memory:
        return Memory()


class TestEtcd(StoreContract, DualStackContract):
    @pytest.fixture
    def world(self) -> Iterator[Server]:
        yield from served(EtcdInProcess())


class TestEtcd2(StoreContract):
    @pytest.fixture
    def world(self) -> Iterator[Server]:
        yield from served(Etcd2InProcess())


class TestBesideInMemory(BesideContract):
    @pytest.fixture
    def world(self) -> Memory:
        return Memory()


class TestBesideInEtcd(BesideContract):
    @pytest.fixture
    def world(self) -> Iterator[Server]:
        yield from served(EtcdInProcess())


class TestBesideInEtcd2(BesideContract):
    @pytest.fixture
    def world(self) -> Iterator[Server]:
        yield from served(Etcd2InProcess())


@pytest.mark.parametrize("kind", [Guarded, Guarded2])
class TestForbidden:
    """What a permission that is missing beside the leases does to everything else: nothing."""

    @pytest.fixture
    def world(self, kind: type[Guarded | Guarded2]) -> Iterator[Server]:
        yield from served(kind())

    @pytest.fixture
    def registry(self, world) -> LeaseStore:
        connected: LeaseStore = world.connect()
        connected.follow_announcements("udp")
        return connected

    @pytest.fixture
    def held(self, registry) -> StoredLease:
        return StoredLease(Lease(OURS, US), registry.create(OURS, US))

    def test_where_it_may_not_be_read_leases_are_listed_and_watched(self, registry, world, held, caplog):
        world.forbid(read_only=False)
        assert (registry.snapshot().leases, registry.snapshot().announced) == ((held,), ())
        watched = following(registry, world)
        registry.announce(held, b"{}")
        world.put("10.2.52.0-24", world.value("192.168.199.53"))
        watched.events(1)
        assert watched.nothing()
        assert sum("no permission to read" in record.getMessage() for record in caplog.records) == 1

    def test_where_it_may_not_be_written_the_watch_goes_on(self, registry, world, held, caplog):
        world.forbid(read_only=True)
        watched = following(registry, world)
        for _ in range(2):
            registry.announce(held, b"{}")
        world.put("10.2.52.0-24", world.value("192.168.199.53"))
        watched.events(1)
        assert watched.nothing()
        assert sum("no permission to write" in record.getMessage() for record in caplog.records) == 1

    def test_once_it_may_be_read_and_written_it_is(self, registry, world, held):
        world.forbid(read_only=False)
        registry.snapshot()
        world.allow()
        registry.snapshot()
        registry.announce(held, b"{}")
        assert registry.snapshot().announced == (
            Announcement(OURS, announcements.stamped(b"{}", held.revision)),
        )
