"""Leases in etcd v3, byte for byte as flannel >= 0.20.2 keeps them (its pkg/subnet/etcd/registry.go).

The package etcd3 has no client for several endpoints,
so there is one client at a time, and the next endpoint is tried when it fails.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode
from flanneld_py.registry import (
    TTL,
    Announcement,
    LeaseChanges,
    LeaseEvent,
    Reset,
    Snapshot,
    WatchMessage,
    access,
    announcements,
    tls,
)
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials
from flanneld_py.registry.etcd_client import TIMEOUT, EtcdClient
from flanneld_py.registry.etcd_library import etcd3
from flanneld_py.registry.etcd_watch import EtcdWatch
from flanneld_py.registry.failover import Failover
from flanneld_py.registry.lease_keys import LeaseReader
from flanneld_py.registry.store import Store
from flanneld_py.subnet import Subnet, key

__all__ = ["EtcdRegistry"]

T = TypeVar("T")

DELETE = 1  # mvccpb.Event.EventType of etcd's api/mvccpb/kv.proto


class EtcdRegistry(Store):
    """See `registry.Registry`. Making one raises `Fatal` where the credentials cannot be used."""

    def __init__(
        self,
        endpoints: Sequence[str],
        prefix: str,
        credentials: Credentials = NO_CREDENTIALS,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self._prefix = prefix
        self._folder = f"{prefix}/subnets/"
        self._reader = LeaseReader(self._folder)
        self._beside = announcements.AnnouncementReader()
        places = access.endpoints(endpoints)
        files = tls.choose(places, credentials)
        self._turns = Failover(
            places, lambda endpoint: EtcdClient(endpoint, credentials, files, prefix, timeout)
        )

    def config(self) -> bytes | None:
        """See `Registry`."""
        return self._turns.call(self._config)

    def snapshot(self) -> Snapshot:
        """See `Registry`. Linearizable: etcd's default for v3 reads."""
        response = self._call(lambda client: client.get_prefix_response(self._folder))
        entries = (
            (self._name(kv.key), kv.value, kv.mod_revision, not kv.lease, kv.create_revision)
            for kv in response.kvs
        )
        snapshot = self._reader.snapshot(entries, response.header.revision)
        return replace(snapshot, said=self._said()) if self._beside.folder else snapshot

    def follow_announcements(self, kind: str) -> None:
        """See `Registry`."""
        self._beside = announcements.AnnouncementReader(announcements.folder(self._prefix, kind))

    def announce(self, held: StoredLease, text: bytes) -> None:
        """See `Registry`. The key has the lease's own etcd lease, so that it ends with it."""
        name = self._key(held.lease.subnet)
        place = f"{self._beside.folder}{key(held.lease.subnet)}"

        def write(client: Any) -> None:
            found = client.get_response(name).kvs
            if not found:
                return
            value = announcements.said_at(text, held.revision)
            unchanged = [client.transactions.mod(name) == held.revision]
            client.transaction(unchanged, [client.transactions.put(place, value, lease=found[0].lease)], [])

        def attempt(client: EtcdClient) -> None:
            with self._beside.permitted(client.url, "write"):
                client.run(write)

        if self._beside.wanted:
            self._turns.call(attempt)

    def _said(self) -> tuple[Announcement, ...]:
        """What is said now, or later than the leases were listed: a watch tells it again."""

        def read(client: EtcdClient) -> Sequence[Any]:
            with self._beside.permitted(client.url, "read"):
                return tuple(client.run(lambda etcd: etcd.get_prefix_response(self._beside.folder)).kvs)
            return ()

        told = [
            self._beside.said(self._name(kv.key, self._beside.folder), kv.value)
            for kv in self._turns.call(read)
        ]
        return tuple(said for said in told if said is not None)

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `Store`."""
        name = self._key(subnet)
        return self._write(name, attrs, lambda client: [client.transactions.version(name) == 0])

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`. With a new etcd lease, as flannel does; the old one runs out by itself, keyless."""
        name = self._key(held.lease.subnet)
        return self._write(
            name,
            attrs,
            lambda client: [client.transactions.mod(name) == held.revision],
            permanent=held.permanent,
        )

    def replace(self, old: StoredLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `Store`."""
        before, after = self._key(old.lease.subnet), self._key(subnet)
        return self._write(
            after,
            attrs,
            lambda client: [
                client.transactions.mod(before) == old.revision,
                client.transactions.version(after) == 0,
            ],
            delete=before,
        )

    def remove(self, held: StoredLease) -> bool:
        """See `Store`."""
        name = self._key(held.lease.subnet)

        def remove(client: Any) -> bool:
            unchanged = [client.transactions.mod(name) == held.revision]
            return bool(client.transaction(unchanged, [client.transactions.delete(name)], [])[0])

        return self._call(remove)

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""
        folders = [self._folder, *([self._beside.folder] if self._beside.wanted else [])]
        ranges = [
            (first, etcd3.utils.increment_last_byte(first)) for first in (each.encode() for each in folders)
        ]

        def hand_on(events: Sequence[Any]) -> None:
            told = [event for item in events if (event := self._event(item)) is not None]
            if changes := tuple(event for event in told if not isinstance(event, Announcement)):
                deliver(LeaseChanges(changes))
            for event in told:
                if isinstance(event, Announcement):
                    deliver(event)

        def begin(client: EtcdClient) -> EtcdWatch:
            def end(reason: str) -> None:
                deliver(Reset(f"{client.url}: {reason}"))

            channel, metadata = client.run(lambda etcd: (etcd.channel, etcd.metadata or ()))
            return EtcdWatch(channel, metadata, ranges, revision + 1, on_events=hand_on, on_end=end)

        self._turns.watch(begin)

    def probe(self) -> bytes | None:
        """See `Registry`. Linearizable, so that a member that is cut off from the others fails it too."""
        return self._turns.here(self._config)

    def close(self) -> None:
        """See `Registry`."""
        self._turns.close()

    def _config(self, client: EtcdClient) -> bytes | None:
        value: bytes | None = client.run(lambda etcd: etcd.get(f"{self._prefix}/config"))[0]
        return value

    def _write(
        self,
        name: str,
        attrs: LeaseAttrs,
        conditions: Callable[[Any], list[Any]],
        *,
        delete: str = "",
        permanent: bool = False,
    ) -> int | None:
        """Put a value with a fresh etcd lease; its revision, or None if the conditions do not hold."""

        def write(client: Any) -> int | None:
            lease = None if permanent else client.lease(TTL)
            changes = [client.transactions.put(name, encode(attrs), lease=lease)]
            if delete:
                changes.append(client.transactions.delete(delete))
            done, responses = client.transaction(conditions(client), changes, [])
            if done:
                return int(responses[0].response_put.header.revision)
            if lease is not None:
                client.revoke_lease(lease.id)
            return None

        return self._call(write)

    def _call(self, action: Callable[[Any], T]) -> T:
        """Do something with etcd3's client."""
        return self._turns.call(lambda client: client.run(action))

    def _key(self, subnet: Subnet) -> str:
        return f"{self._folder}{key(subnet)}"

    def _name(self, full_key: bytes, folder: str = "") -> str:
        return full_key.decode(errors="backslashreplace").removeprefix(folder or self._folder)

    def _event(self, event: Any) -> LeaseEvent | Announcement | None:
        if self._beside.wanted and event.kv.key.startswith(self._beside.folder.encode()):
            value = b"" if event.type == DELETE else event.kv.value
            return self._beside.said(self._name(event.kv.key, self._beside.folder), value)
        name = self._name(event.kv.key)
        if event.type == DELETE:
            return self._reader.deleted(name, event.kv.mod_revision)
        return self._reader.written(
            name,
            event.kv.value,
            event.kv.mod_revision,
            permanent=not event.kv.lease,
            created=event.kv.create_revision,
        )
