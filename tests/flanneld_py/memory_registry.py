"""Leases in memory: what etcd does, without etcd. For tests of what uses a registry."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from flanneld_py.errors import Stopped
from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode
from flanneld_py.registry import (
    TTL,
    Announcement,
    LeaseChanges,
    LeaseEvent,
    RegistryUnavailable,
    Reset,
    Snapshot,
    WatchMessage,
    announcements,
)
from flanneld_py.registry.lease_keys import LeaseReader
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.subnet import Subnet, key

__all__ = ["MemoryEtcd", "MemoryRegistry", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a key holds, until a time of the clock."""

    value: bytes
    revision: int
    expires_at: float
    created: int

    @property
    def permanent(self) -> bool:
        """Whether it has no end."""
        return self.expires_at == math.inf


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
        self._stored: dict[str, Stored] = {}
        self.watchers: list[_Watcher] = []
        self._history: list[tuple[int, _Happened]] = []
        self._compacted = 0
        self._reader = LeaseReader("/memory/subnets/")
        self._said: dict[tuple[str, Subnet], bytes] = {}

    def put(self, subnet: Subnet, attrs: LeaseAttrs, *, ttl: float = TTL) -> int:
        """Write a lease, whoever holds it; its revision."""
        return self.put_raw(key(subnet), encode(attrs), ttl=ttl)

    def put_raw(self, name: str, value: bytes, *, ttl: float = TTL) -> int:
        """Write anything, to live for so many seconds; its revision."""
        self.revision += 1
        created = self._stored[name].created if name in self._stored else self.revision
        stored = self._stored[name] = Stored(value, self.revision, self._clock() + ttl, created)
        self._tell(
            self._reader.written(name, value, self.revision, permanent=stored.permanent, created=created)
        )
        return self.revision

    def delete(self, subnet: Subnet) -> None:
        """Remove a lease that is there."""
        self.delete_raw(key(subnet))

    def delete_raw(self, name: str) -> None:
        """Remove anything that is there."""
        self.revision += 1
        del self._stored[name]
        self._tell(self._reader.deleted(name, self.revision))

    def read_raw(self, name: str) -> Stored | None:
        """What a key holds."""
        self._expire()
        return self._stored.get(name)

    def break_watches(self, reason: str = "the connection broke") -> None:
        """End every watch, as a restart of etcd does."""
        watchers, self.watchers = self.watchers, []
        for watcher in watchers:
            watcher.deliver(Reset(reason))

    def held(self, subnet: Subnet) -> StoredLease:
        """A lease that is there."""
        return next(held for held in self.snapshot().leases if held.lease.subnet == subnet)

    def say(self, subnet: Subnet, value: bytes, kind: str = "udp") -> None:
        """Write what is said beside a lease; empty: delete it."""
        self.revision += 1
        if value:
            self._said[kind, subnet] = value
        else:
            self._said.pop((kind, subnet), None)
        self._tell(Announcement(subnet, value), kind)

    def say_raw(self, kind: str, name: str, value: bytes) -> None:
        """Likewise, under a key's last part, which may name no subnet."""
        said = announcements.AnnouncementReader().read(name, value)
        if said is not None:
            self.say(said.subnet, value, kind)

    def said(self, kind: str = "udp") -> tuple[Announcement, ...]:
        """All that is said by nodes with this type of backend."""
        self._expire()
        return tuple(Announcement(subnet, value) for (of, subnet), value in self._said.items() if of == kind)

    def revision_of(self, subnet: Subnet) -> int | None:
        """The revision at which a subnet's key was last written, whatever it says; None if there is none."""
        self._expire()
        stored = self._stored.get(key(subnet))
        return None if stored is None else stored.revision

    def snapshot(self) -> Snapshot:
        """All leases."""
        self._expire()
        entries = (
            (name, item.value, item.revision, item.permanent, item.created)
            for name, item in self._stored.items()
        )
        return self._reader.snapshot(entries, self.revision)

    def compact(self) -> None:
        """Forget how it came to what there is now."""
        self._history.clear()
        self._compacted = self.revision

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None], kind: str = "") -> None:
        """Deliver whatever happened after the revision, and happens from now on."""
        if revision < self._compacted:
            deliver(Reset(f"history before revision {self._compacted} was compacted"))
            return
        watcher = _Watcher(deliver, kind)
        for happened, what in self._history:
            if happened > revision:
                watcher.hear(what)
        self.watchers.append(watcher)

    def unwatch(self, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver no more."""
        self.watchers = [item for item in self.watchers if item.deliver is not deliver]

    def _expire(self) -> None:
        """Remove what has run out, as etcd would have done by now, and what was said beside it."""
        for name in [name for name, item in self._stored.items() if item.expires_at <= self._clock()]:
            self.revision += 1
            del self._stored[name]
            self._tell(self._reader.deleted(name, self.revision))
            for kind, subnet in [place for place in self._said if key(place[1]) == name]:
                self.say(subnet, b"", kind)

    def _tell(self, what: LeaseEvent | Announcement | None, kind: str = "") -> None:
        if what is not None:
            happened = _Happened(what, kind)
            self._history.append((self.revision, happened))
            for watcher in list(self.watchers):
                watcher.hear(happened)


@dataclass(frozen=True, slots=True)
class _Happened:
    """What happened; `kind` is the type of the backend that said something, empty for a lease."""

    what: LeaseEvent | Announcement
    kind: str


@dataclass(frozen=True, slots=True)
class _Watcher:
    """Who is told of leases, and of what nodes with one type of backend say."""

    deliver: Callable[[WatchMessage], None]
    kind: str

    def hear(self, happened: _Happened) -> None:
        if not isinstance(happened.what, Announcement):
            self.deliver(LeaseChanges((happened.what,)))
        elif happened.kind == self.kind:
            self.deliver(happened.what)


class MemoryRegistry(LeaseStore):
    """See `registry.Registry`: one daemon's connection to a `MemoryEtcd`."""

    def __init__(self, etcd: MemoryEtcd) -> None:
        self._etcd = etcd
        self._deliver: Callable[[WatchMessage], None] | None = None
        self._closed = False
        self._kind = ""

    def config(self) -> bytes | None:
        """See `Registry`."""
        return self._reach().config

    def snapshot(self) -> Snapshot:
        """See `Registry`."""
        etcd = self._reach()
        return replace(etcd.snapshot(), announced=etcd.said(self._kind)) if self._kind else etcd.snapshot()

    def follow_announcements(self, kind: str) -> None:
        """See `Registry`."""
        self._kind = kind

    def announce(self, held: StoredLease, text: bytes) -> None:
        """See `Registry`."""
        etcd, subnet = self._write(), held.lease.subnet
        if self._kind and etcd.revision_of(subnet) == held.revision:
            etcd.say(subnet, announcements.stamped(text, held.revision), self._kind)

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `LeaseStore`."""
        etcd = self._write()
        return etcd.put(subnet, attrs) if etcd.revision_of(subnet) is None else None

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        etcd = self._write()
        subnet, ttl = held.lease.subnet, math.inf if held.permanent else TTL
        return etcd.put(subnet, attrs, ttl=ttl) if etcd.revision_of(subnet) == held.revision else None

    def replace(self, old: StoredLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `LeaseStore`."""
        etcd = self._write()
        if etcd.revision_of(old.lease.subnet) != old.revision or etcd.revision_of(subnet) is not None:
            return None
        etcd.delete(old.lease.subnet)
        return etcd.put(subnet, attrs)

    def remove(self, held: StoredLease) -> bool:
        """See `LeaseStore`."""
        etcd = self._write()
        if etcd.revision_of(held.lease.subnet) != held.revision:
            return False
        etcd.delete(held.lease.subnet)
        return True

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""
        etcd = self._reach()
        self._end_watch()
        self._deliver = deliver
        etcd.watch(revision, deliver, self._kind)

    def probe(self) -> bytes | None:
        """See `Registry`."""
        return self._reach().config

    def close(self) -> None:
        """See `Registry`."""
        self._closed = True
        self._end_watch()

    def _end_watch(self) -> None:
        if self._deliver is not None:
            self._etcd.unwatch(self._deliver)
            self._deliver = None

    def _reach(self) -> MemoryEtcd:
        if self._closed:
            raise Stopped
        if not self._etcd.reachable:
            if self._deliver is not None:  # as etcd's, which go to another endpoint
                deliver = self._deliver
                self._end_watch()
                deliver(Reset("the endpoint no longer answers"))
            raise RegistryUnavailable("http://192.0.2.1:2379: unavailable: no route")
        return self._etcd

    def _write(self) -> MemoryEtcd:
        etcd = self._reach()
        if etcd.read_only:
            raise RegistryUnavailable("http://192.0.2.1:2379: resource exhausted: database space exceeded")
        return etcd
