"""Leases in etcd v3, byte for byte as flannel >= 0.20.2 keeps them (its pkg/subnet/etcd/registry.go).

The package etcd3 has no client for several endpoints,
so there is one client at a time, and the next endpoint is tried when it fails.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flanneld_py.lease import HeldLease, LeaseAttrs, encode
from flanneld_py.options import split_endpoint
from flanneld_py.registry import TTL, Changes, Event, Reset, Snapshot, Stopped, Unavailable, WatchMessage
from flanneld_py.registry.entry import Reader
from flanneld_py.registry.etcd_library import etcd3, grpc
from flanneld_py.registry.etcd_watch import EtcdWatch, words
from flanneld_py.registry.store import Store
from flanneld_py.subnet import Subnet, key

__all__ = ["EtcdRegistry"]

TIMEOUT = 2.0
"""Seconds for one call. A stopped etcd (SIGSTOP) accepts connections and never answers."""

CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # time to connect in; the underlay may be slow
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),  # http_proxy is not meant for the cluster's own etcd
)
DELETE = 1  # mvccpb.Event.EventType of etcd's api/mvccpb/kv.proto

T = TypeVar("T")


class EtcdRegistry(Store):
    """See `registry.Registry`."""

    def __init__(self, endpoints: Sequence[str], prefix: str) -> None:
        self._endpoints = list(endpoints)
        self._prefix = prefix
        self._folder = f"{prefix}/subnets/"
        self._client: Any = None
        self._watch: EtcdWatch | None = None
        self._reader = Reader(self._folder)
        self._closed = False

    def config(self) -> bytes | None:
        """See `Registry`."""
        value: bytes | None = self._call(lambda client: client.get(f"{self._prefix}/config"))[0]
        return value

    def snapshot(self) -> Snapshot:
        """See `Registry`. Linearizable: etcd's default for v3 reads."""
        response = self._call(lambda client: client.get_prefix_response(self._folder))
        entries = ((self._name(kv.key), kv.value, kv.mod_revision, not kv.lease) for kv in response.kvs)
        return self._reader.snapshot(entries, response.header.revision)

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `Store`."""
        name = self._key(subnet)
        return self._write(name, attrs, lambda client: [client.transactions.version(name) == 0])

    def renew(self, held: HeldLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`. With a new etcd lease, as flannel does; the old one runs out by itself, keyless."""
        name = self._key(held.lease.subnet)
        return self._write(
            name,
            attrs,
            lambda client: [client.transactions.mod(name) == held.revision],
            permanent=held.permanent,
        )

    def replace(self, old: HeldLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
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

    def remove(self, held: HeldLease) -> bool:
        """See `Store`."""
        name = self._key(held.lease.subnet)

        def remove(client: Any) -> bool:
            unchanged = [client.transactions.mod(name) == held.revision]
            return bool(client.transaction(unchanged, [client.transactions.delete(name)], [])[0])

        return self._call(remove)

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""
        first = self._folder.encode()

        def hand_on(events: Sequence[Any]) -> None:
            if changes := tuple(event for item in events if (event := self._event(item)) is not None):
                deliver(Changes(changes))

        def end(reason: str) -> None:
            deliver(Reset(reason))

        def begin(client: Any) -> EtcdWatch:
            until = etcd3.utils.increment_last_byte(first)
            return EtcdWatch(client.channel, first, until, revision + 1, on_events=hand_on, on_end=end)

        self._end_watch()
        self._watch = self._call(begin)

    def probe(self) -> bytes | None:
        """See `Registry`. Linearizable, so that a member that is cut off from the others fails it too."""
        answer = self._try(self._endpoints[0], lambda client: client.get(f"{self._prefix}/config"))
        value: bytes | None = answer[0]
        return value

    def close(self) -> None:
        """See `Registry`."""
        self._closed = True
        self._end_watch()
        self._disconnect()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None

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
        """Do something with the client in use; when its endpoint fails, with each of the others."""
        reasons = []
        for endpoint in tuple(self._endpoints):
            try:
                return self._try(endpoint, action)
            except Unavailable as error:
                reasons.append(str(error))
        raise Unavailable("; ".join(reasons))

    def _try(self, endpoint: str, action: Callable[[Any], T]) -> T:
        """Do something with the first endpoint, or give it up: then the next one has its turn."""
        try:
            if self._client is None:
                self._client = self._connect(endpoint)
            return action(self._client)
        except (etcd3.Etcd3Exception, grpc.RpcError) as error:
            if self._closed:
                raise Stopped from None
            if self._watch is not None:
                self._watch.cut()
                self._watch = None
            self._disconnect()
            self._endpoints.append(self._endpoints.pop(0))
            raise Unavailable(f"{endpoint}: {_why(error)}") from error

    def _connect(self, endpoint: str) -> Any:
        if self._closed:
            raise Stopped
        host, port = split_endpoint(endpoint)
        host = f"[{host}]" if ":" in host else host
        return etcd3.client(host, port, timeout=TIMEOUT, grpc_options=CHANNEL)

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _key(self, subnet: Subnet) -> str:
        return f"{self._folder}{key(subnet)}"

    def _name(self, full_key: bytes) -> str:
        return full_key.decode(errors="backslashreplace").removeprefix(self._folder)

    def _event(self, event: Any) -> Event | None:
        name = self._name(event.kv.key)
        if event.type == DELETE:
            return self._reader.deleted(name, event.kv.mod_revision)
        return self._reader.written(name, event.kv.value, event.kv.mod_revision, permanent=not event.kv.lease)


def _why(error: BaseException) -> str:
    """An error in one line; etcd3's own exceptions say nothing, their causes do."""
    cause = error.__context__ if isinstance(error.__context__, grpc.RpcError) else error
    return words(cause) if isinstance(cause, grpc.RpcError) else str(error) or type(error).__name__
