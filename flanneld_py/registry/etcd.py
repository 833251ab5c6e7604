"""Leases in etcd v3, byte for byte as flannel >= 0.20.2 keeps them (its pkg/subnet/etcd/registry.go).

The only module that imports `etcd3` and `grpc`. The package has no client for several endpoints, so there
is one client at a time, and the next endpoint is tried when it fails.
"""

import logging
import os
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from typing import Any, TypeVar

# What gRPC's C core has to say about connections we say ourselves.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# etcd3's generated code works with protobuf's Python implementation only.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

import etcd3
import grpc

from flanneld_py.allocate import HeldLease, Replace
from flanneld_py.lease import Lease, LeaseAttrs, decode, encode, key, parse_key
from flanneld_py.options import split_endpoint
from flanneld_py.registry import TTL, Changes, Gone, Put, Reset, Snapshot, Unavailable, WatchMessage

__all__ = ["EtcdRegistry"]

logger = logging.getLogger(__name__)

TIMEOUT = 3.0
"""Seconds for one call. A stopped etcd (SIGSTOP) accepts and never answers."""

CHANNEL = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
)
FAILURES = (etcd3.exceptions.Etcd3Exception, grpc.RpcError)
ELSEWHERE = (
    etcd3.exceptions.ConnectionFailedError,
    etcd3.exceptions.ConnectionTimeoutError,
    etcd3.exceptions.InternalServerError,
    etcd3.exceptions.WatchTimedOut,
    grpc.RpcError,
)
T = TypeVar("T")


class EtcdRegistry:
    """See `registry.Registry`. Not for use by several threads."""

    def __init__(self, endpoints: Sequence[str], prefix: str) -> None:
        self._endpoints = list(endpoints)
        self._prefix = prefix
        self._client: Any = None
        self._warned: set[bytes] = set()

    def config(self) -> bytes | None:
        """See `Registry`."""
        value: bytes | None = self._call(lambda client: client.get(f"{self._prefix}/config"))[0]
        return value

    def snapshot(self) -> Snapshot:
        """See `Registry`. Linearizable: etcd's default for v3 reads."""
        response = self._call(lambda client: client.get_prefix_response(f"{self._prefix}/subnets/"))
        leases: dict[IPv4Network, HeldLease] = {}
        taken = set()
        for kv in response.kvs:
            held = self._held(kv.key, kv.value, kv.mod_revision)
            if held is not None:
                leases[held.lease.subnet] = held
            elif (subnet := parse_key(self._name(kv.key))) is not None:
                taken.add(subnet)
        return Snapshot(leases, response.header.revision, frozenset(taken))

    def create(self, subnet: IPv4Network, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        name = self._key(subnet)
        return self._write(name, attrs, lambda client: [client.transactions.version(name) == 0])

    def renew(self, subnet: IPv4Network, revision: int, attrs: LeaseAttrs) -> int | None:
        """See `Registry`. With a new etcd lease, as flannel does; the old one runs out by itself, keyless."""
        name = self._key(subnet)
        return self._write(name, attrs, lambda client: [client.transactions.mod(name) == revision])

    def replace(self, choice: Replace, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        old, new = self._key(choice.old.lease.subnet), self._key(choice.subnet)
        return self._write(
            new,
            attrs,
            lambda client: [
                client.transactions.mod(old) == choice.old.revision,
                client.transactions.version(new) == 0,
            ],
            delete=old,
        )

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""

        def hand_on(message: Any) -> None:
            if isinstance(message, Exception):
                deliver(Reset(_why(message)))
            elif events := [event for item in message.events if (event := self._event(item))]:
                deliver(Changes(tuple(events)))

        first = f"{self._prefix}/subnets/"
        self._call(
            lambda client: client.add_watch_callback(
                first,
                hand_on,
                range_end=etcd3.utils.increment_last_byte(first.encode()),
                start_revision=revision + 1,
            )
        )

    def alive(self) -> bool:
        """See `Registry`."""
        if self._client is None:
            return False
        try:
            self._client.get(f"{self._prefix}/config")
        except FAILURES:
            return False
        return True

    def close(self) -> None:
        """See `Registry`."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _write(
        self, name: str, attrs: LeaseAttrs, conditions: Callable[[Any], list[Any]], delete: str = ""
    ) -> int | None:
        """Put a value with a fresh etcd lease; its revision, or None if the conditions do not hold."""

        def write(client: Any) -> int | None:
            lease = client.lease(TTL)
            changes = [client.transactions.put(name, encode(attrs), lease=lease)]
            if delete:
                changes.append(client.transactions.delete(delete))
            done, responses = client.transaction(conditions(client), changes, [])
            if done:
                return int(responses[0].response_put.header.revision)
            client.revoke_lease(lease.id)
            return None

        return self._call(write)

    def _call(self, action: Callable[[Any], T]) -> T:
        """Do something with the client in use; when its endpoint fails, with each of the others."""
        reasons = []
        for _ in range(len(self._endpoints)):
            endpoint = self._endpoints[0]
            try:
                if self._client is None:
                    host, port = split_endpoint(endpoint)
                    host = f"[{host}]" if ":" in host else host
                    self._client = etcd3.client(host, port, timeout=TIMEOUT, grpc_options=CHANNEL)
                return action(self._client)
            except ELSEWHERE as error:
                reasons.append(f"{endpoint}: {_why(error)}")
                self.close()
                self._endpoints.append(self._endpoints.pop(0))
        raise Unavailable("; ".join(reasons))

    def _key(self, subnet: IPv4Network) -> str:
        return f"{self._prefix}/subnets/{key(subnet)}"

    def _name(self, full_key: bytes) -> str:
        """The last part of a key, below `{prefix}/subnets/`."""
        return full_key.decode(errors="replace").removeprefix(f"{self._prefix}/subnets/")

    def _event(self, event: Any) -> Put | Gone | None:
        if isinstance(event, etcd3.events.DeleteEvent):
            subnet = parse_key(self._name(event.key))
            return Gone(subnet, event.mod_revision) if subnet else None
        held = self._held(event.key, event.value, event.mod_revision)
        return Put(held) if held else None

    def _held(self, full_key: bytes, value: bytes, revision: int) -> HeldLease | None:
        """The lease in a key and its value, or None, with one warning for each such key."""
        name = self._name(full_key)
        subnet = parse_key(name)
        try:
            if subnet is None:
                raise ValueError("the key names no subnet")
            return HeldLease(Lease(subnet, decode(value)), revision, "" if name == key(subnet) else name)
        except ValueError as error:
            if full_key not in self._warned:
                self._warned.add(full_key)
                logger.warning("Ignoring the key %s: %s", full_key.decode(errors="replace"), error)
            return None


def _why(error: BaseException) -> str:
    """An error in a few words; etcd3's own exceptions say nothing, their causes do."""
    cause = error.__context__ if isinstance(error.__context__, grpc.RpcError) else error
    if isinstance(cause, grpc.Call):
        code = cause.code().name.lower().replace("_", " ")
        details = (cause.details() or "").strip()
        return f"{code}: {details}" if details else code
    return str(error) or type(error).__name__
