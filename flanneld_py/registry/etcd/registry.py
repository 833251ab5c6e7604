"""Leases in etcd v3, byte for byte as flannel >= 0.20.2 keeps them (its pkg/subnet/etcd/registry.go)."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode
from flanneld_py.registry import TTL, Announcement, LeaseChanges, LeaseEvent, WatchMessage, announcements
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials, Endpoint
from flanneld_py.registry.deadline import Deadline
from flanneld_py.registry.etcd.client import TIMEOUT, EtcdClient
from flanneld_py.registry.etcd.library import etcd3
from flanneld_py.registry.etcd.watch import EtcdWatch
from flanneld_py.registry.etcd_common import EtcdStore, ListedKey
from flanneld_py.registry.tls import Tls
from flanneld_py.subnet import Subnet, key

__all__ = ["EtcdRegistry"]

T = TypeVar("T")

DELETE = 1  # mvccpb.Event.EventType of etcd's api/mvccpb/kv.proto


class EtcdRegistry(EtcdStore[EtcdClient]):
    """See `EtcdStore`. Reads are linearizable: etcd's default for v3."""

    def __init__(
        self,
        urls: Sequence[str],
        prefix: str,
        credentials: Credentials = NO_CREDENTIALS,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        super().__init__(urls, prefix, credentials, timeout)

    def _connect(self, endpoint: Endpoint, tls: Tls | None, deadline: Deadline) -> EtcdClient:
        return EtcdClient(endpoint, self._credentials, tls, self._prefix, deadline)

    def _read_config(self, client: EtcdClient) -> bytes | None:
        value: bytes | None = client.run(lambda etcd: etcd.get(f"{self._prefix}/config"))[0]
        return value

    def _list(self, client: EtcdClient) -> tuple[Iterable[ListedKey], int]:
        response = client.run(lambda etcd: etcd.get_prefix_response(self._folder))
        keys = (
            (self._name(kv.key), kv.value, kv.mod_revision, not kv.lease, kv.create_revision)
            for kv in response.kvs
        )
        return keys, response.header.revision

    def _list_announcements(self, client: EtcdClient) -> Iterable[tuple[str, bytes]]:
        folder = self._announcements.folder
        response = client.run(lambda etcd: etcd.get_prefix_response(folder))
        return ((self._name(kv.key, folder), kv.value) for kv in response.kvs)

    def _write_announcement(self, client: EtcdClient, held: StoredLease, text: bytes) -> None:
        """Under the lease's own etcd lease, so that it ends with the lease."""
        name = self._key(held.lease.subnet)
        place = f"{self._announcements.folder}{key(held.lease.subnet)}"
        value = announcements.stamped(text, held.revision)

        def write(etcd: Any) -> None:
            found = etcd.get_response(name).kvs
            if not found:
                return
            unchanged = [etcd.transactions.mod(name) == held.revision]
            etcd.transaction(unchanged, [etcd.transactions.put(place, value, lease=found[0].lease)], [])

        client.run(write)

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `LeaseStore`."""
        name = self._key(subnet)
        return self._write(name, attrs, lambda client: [client.transactions.version(name) == 0])

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`. With a new etcd lease, as flannel does; the old one, left without keys, expires."""
        name = self._key(held.lease.subnet)
        return self._write(
            name,
            attrs,
            lambda client: [client.transactions.mod(name) == held.revision],
            permanent=held.permanent,
        )

    def replace(self, old: StoredLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `LeaseStore`."""
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
        """See `LeaseStore`."""
        name = self._key(held.lease.subnet)

        def remove(client: Any) -> bool:
            unchanged = [client.transactions.mod(name) == held.revision]
            return bool(client.transaction(unchanged, [client.transactions.delete(name)], [])[0])

        return self._call(remove)

    def _begin_watch(
        self,
        client: EtcdClient,
        revision: int,
        deliver: Callable[[WatchMessage], None],
        on_end: Callable[[str], None],
    ) -> EtcdWatch:
        wanted = [self._folder, *([self._announcements.folder] if self._announcements.wanted else [])]
        ranges = [
            (first, etcd3.utils.increment_last_byte(first)) for first in (each.encode() for each in wanted)
        ]

        def hand_on(events: Sequence[Any]) -> None:
            read = [event for item in events if (event := self._event(item)) is not None]
            if changes := tuple(event for event in read if not isinstance(event, Announcement)):
                deliver(LeaseChanges(changes))
            for event in read:
                if isinstance(event, Announcement):
                    deliver(event)

        channel, metadata = client.run(lambda etcd: (etcd.channel, etcd.metadata or ()))
        return EtcdWatch(channel, metadata, ranges, revision + 1, on_events=hand_on, on_end=on_end)

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
        return self._failover.call(lambda client: client.run(action))

    def _key(self, subnet: Subnet) -> str:
        return f"{self._folder}{key(subnet)}"

    def _name(self, full_key: bytes, folder: str = "") -> str:
        return full_key.decode(errors="backslashreplace").removeprefix(folder or self._folder)

    def _event(self, event: Any) -> LeaseEvent | Announcement | None:
        if self._announcements.wanted and event.kv.key.startswith(self._announcements.folder.encode()):
            value = b"" if event.type == DELETE else event.kv.value
            return self._announcements.read(self._name(event.kv.key, self._announcements.folder), value)
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
