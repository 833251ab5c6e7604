"""Leases in memory: what etcd does, without etcd. For tests of what uses a registry."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network

from flanneld_py.allocate import HeldLease, Replace
from flanneld_py.lease import Lease, LeaseAttrs
from flanneld_py.registry import TTL, Changes, Gone, Put, Reset, Snapshot, Unavailable, WatchMessage

__all__ = ["MemoryEtcd", "MemoryRegistry"]


@dataclass(frozen=True, slots=True)
class _Stored:
    attrs: LeaseAttrs
    revision: int
    expires_at: float


class MemoryEtcd:
    """The store that several registries share. `clock` is in seconds; keys run out by it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.config: bytes | None = None
        self.reachable = True
        self.revision = 1
        self._clock = clock
        self._stored: dict[IPv4Network, _Stored] = {}
        self._watchers: list[Callable[[WatchMessage], None]] = []

    def put(self, subnet: IPv4Network, attrs: LeaseAttrs) -> int:
        """Write a lease, whoever holds it; its revision."""
        self.revision += 1
        self._stored[subnet] = _Stored(attrs, self.revision, self._clock() + TTL)
        self._tell(Changes((Put(self.held(subnet)),)))
        return self.revision

    def delete(self, subnet: IPv4Network) -> None:
        """Remove a lease that is there."""
        self.revision += 1
        del self._stored[subnet]
        self._tell(Changes((Gone(subnet, self.revision),)))

    def break_watches(self, reason: str = "the connection broke") -> None:
        """End every watch, as a restart of etcd does."""
        watchers, self._watchers = self._watchers, []
        for deliver in watchers:
            deliver(Reset(reason))

    def held(self, subnet: IPv4Network) -> HeldLease:
        """A lease that is there."""
        stored = self._stored[subnet]
        return HeldLease(Lease(subnet, stored.attrs), stored.revision)

    def snapshot(self) -> Snapshot:
        """All leases; those that have run out are removed first, as etcd would have done."""
        for subnet in [subnet for subnet, item in self._stored.items() if item.expires_at <= self._clock()]:
            self.delete(subnet)
        return Snapshot({subnet: self.held(subnet) for subnet in self._stored}, self.revision)

    def watch(self, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver whatever happens from now on."""
        self._watchers.append(deliver)

    def unwatch(self, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver no more."""
        self._watchers = [item for item in self._watchers if item is not deliver]

    def _tell(self, message: WatchMessage) -> None:
        for deliver in list(self._watchers):
            deliver(message)


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
        etcd = self._reach()
        return None if subnet in etcd.snapshot().leases else etcd.put(subnet, attrs)

    def renew(self, subnet: IPv4Network, revision: int, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        etcd = self._reach()
        held = etcd.snapshot().leases.get(subnet)
        return etcd.put(subnet, attrs) if held is not None and held.revision == revision else None

    def replace(self, choice: Replace, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        etcd = self._reach()
        leases = etcd.snapshot().leases
        old = choice.old.lease.subnet
        if leases.get(old) != choice.old or choice.subnet in leases:
            return None
        etcd.delete(old)
        return etcd.put(choice.subnet, attrs)

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`. Only from now on: history is not kept, so `revision` must be today's."""
        etcd = self._reach()
        if revision != etcd.revision:
            raise ValueError(f"this registry has no history: at {etcd.revision}, asked for {revision}")
        self._deliver = deliver
        etcd.watch(deliver)

    def alive(self) -> bool:
        """See `Registry`."""
        return self._etcd.reachable

    def close(self) -> None:
        """See `Registry`."""
        if self._deliver is not None:
            self._etcd.unwatch(self._deliver)
            self._deliver = None

    def _reach(self) -> MemoryEtcd:
        if not self._etcd.reachable:
            raise Unavailable("http://192.0.2.1:2379: unavailable: no route")
        return self._etcd
