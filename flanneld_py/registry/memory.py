"""Leases in memory: what etcd does, without etcd. For tests of what uses a registry."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network

from flanneld_py.allocate import HeldLease, Replace
from flanneld_py.lease import LeaseAttrs, encode, key
from flanneld_py.registry import TTL, Changes, Event, Reset, Snapshot, Unavailable, WatchMessage
from flanneld_py.registry.entry import Reader

__all__ = ["MemoryEtcd", "MemoryRegistry"]


@dataclass(frozen=True, slots=True)
class _Stored:
    value: bytes
    revision: int
    expires_at: float


class MemoryEtcd:
    """The store that several registries share: bytes under the last parts of keys.

    `clock` is in seconds; keys run out by it. While `reachable` is false nobody gets an answer; with
    `read_only` reads are answered and writes are not, as by an etcd that is full.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.config: bytes | None = None
        self.reachable = True
        self.read_only = False
        self.revision = 1
        self._clock = clock
        self._stored: dict[str, _Stored] = {}
        self._watchers: list[Callable[[WatchMessage], None]] = []
        self._reader = Reader("/memory/subnets/")

    def put(self, subnet: IPv4Network, attrs: LeaseAttrs) -> int:
        """Write a lease, whoever holds it; its revision."""
        return self.put_raw(key(subnet), encode(attrs))

    def put_raw(self, name: str, value: bytes) -> int:
        """Write anything; its revision."""
        self.revision += 1
        self._stored[name] = _Stored(value, self.revision, self._clock() + TTL)
        self._tell(self._reader.written(name, value, self.revision))
        return self.revision

    def delete(self, subnet: IPv4Network) -> None:
        """Remove a lease that is there."""
        self.revision += 1
        del self._stored[key(subnet)]
        self._tell(self._reader.deleted(key(subnet), self.revision))

    def break_watches(self, reason: str = "the connection broke") -> None:
        """End every watch, as a restart of etcd does."""
        watchers, self._watchers = self._watchers, []
        for deliver in watchers:
            deliver(Reset(reason))

    def held(self, subnet: IPv4Network) -> HeldLease:
        """A lease that is there."""
        return next(held for held in self.snapshot().leases if held.lease.subnet == subnet)

    def revision_of(self, subnet: IPv4Network) -> int | None:
        """The revision at which a subnet's key was last written, whatever it says; None if there is none."""
        self._expire()
        stored = self._stored.get(key(subnet))
        return None if stored is None else stored.revision

    def snapshot(self) -> Snapshot:
        """All leases."""
        self._expire()
        entries = ((name, item.value, item.revision) for name, item in self._stored.items())
        return self._reader.snapshot(entries, self.revision)

    def watch(self, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver whatever happens from now on."""
        self._watchers.append(deliver)

    def unwatch(self, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver no more."""
        self._watchers = [item for item in self._watchers if item is not deliver]

    def _expire(self) -> None:
        """Remove what has run out, as etcd would have done by now."""
        for name in [name for name, item in self._stored.items() if item.expires_at <= self._clock()]:
            self.revision += 1
            del self._stored[name]
            self._tell(self._reader.deleted(name, self.revision))

    def _tell(self, event: Event | None) -> None:
        if event is not None:
            for deliver in list(self._watchers):
                deliver(Changes((event,)))


class MemoryRegistry:
    """See `registry.Registry`: one daemon's connection to a `MemoryEtcd`."""

    def __init__(self, etcd: MemoryEtcd) -> None:
        self._etcd = etcd
        self._deliver: Callable[[WatchMessage], None] | None = None

    def config(self) -> bytes | None:
        """See `Registry`."""
        return self._reach().config

    def snapshot(self) -> Snapshot:
        """See `Registry`."""
        return self._reach().snapshot()

    def create(self, subnet: IPv4Network, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        etcd = self._write()
        return etcd.put(subnet, attrs) if etcd.revision_of(subnet) is None else None

    def renew(self, subnet: IPv4Network, revision: int, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        etcd = self._write()
        return etcd.put(subnet, attrs) if etcd.revision_of(subnet) == revision else None

    def replace(self, choice: Replace, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        etcd = self._write()
        old = choice.old.lease.subnet
        if etcd.revision_of(old) != choice.old.revision or etcd.revision_of(choice.subnet) is not None:
            return None
        etcd.delete(old)
        return etcd.put(choice.subnet, attrs)

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`. Only from now on: history is not kept, so `revision` must be today's."""
        etcd = self._reach()
        if revision != etcd.revision:
            raise ValueError(f"this registry has no history: at {etcd.revision}, asked for {revision}")
        self.close()
        self._deliver = deliver
        etcd.watch(deliver)

    def probe(self) -> None:
        """See `Registry`."""
        self._reach()

    def close(self) -> None:
        """See `Registry`."""
        if self._deliver is not None:
            self._etcd.unwatch(self._deliver)
            self._deliver = None

    def _reach(self) -> MemoryEtcd:
        if not self._etcd.reachable:
            raise Unavailable("http://192.0.2.1:2379: unavailable: no route")
        return self._etcd

    def _write(self) -> MemoryEtcd:
        if self._etcd.read_only:
            raise Unavailable("http://192.0.2.1:2379: resource exhausted: database space exceeded")
        return self._reach()
