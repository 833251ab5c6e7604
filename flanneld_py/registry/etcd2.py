"""Leases in etcd v2, byte for byte as flannel v0.5.5 keeps them (its subnet/registry.go).

Unlike v0.5.5 reads are quorum reads, and what we write over is compared with what we know. IPv4 only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode_v2
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
from flanneld_py.registry.etcd2_client import TIMEOUT, Etcd2Client, Etcd2Response, Node
from flanneld_py.registry.etcd2_watch import Etcd2Watches
from flanneld_py.registry.failover import Failover
from flanneld_py.registry.lease_keys import LeaseReader
from flanneld_py.registry.store import Store
from flanneld_py.subnet import Subnet, key

__all__ = ["Etcd2Registry"]

QUORUM = {"quorum": "true"}
DELETIONS = frozenset({"delete", "expire", "compareAndDelete"})


class Etcd2Registry(Store):
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
        self._directory = f"{prefix}/subnets"
        self._reader = LeaseReader(f"{self._directory}/")
        self._beside = announcements.AnnouncementReader()
        places = access.endpoints(endpoints)
        files = tls.choose(places, credentials)
        self._turns = Failover(
            places, lambda endpoint: Etcd2Client(endpoint, credentials, files, prefix, timeout)
        )

    def config(self) -> bytes | None:
        """See `Registry`."""
        return self._turns.call(self._config)

    def snapshot(self) -> Snapshot:
        """See `Registry`."""
        answer = self._ask("GET", self._directory, {**QUORUM, "recursive": "true"})
        nodes = () if answer.error else answer.node.nodes
        entries = ((node.name, node.value, node.modified, node.permanent, node.created) for node in nodes)
        snapshot = self._reader.snapshot(entries, answer.index)
        return replace(snapshot, said=self._said()) if self._beside.folder else snapshot

    def follow_announcements(self, kind: str) -> None:
        """See `Registry`."""
        self._beside = announcements.AnnouncementReader(announcements.folder(self._prefix, kind))

    def announce(self, held: StoredLease, text: bytes) -> None:
        """See `Registry`. It lives as long as the lease has left; nothing in v2 would tie it to that."""
        name = key(held.lease.subnet)
        value = announcements.said_at(text, held.revision).decode()

        def write(client: Etcd2Client) -> None:
            lease = client.ask("GET", f"{self._directory}/{name}", QUORUM)
            if lease.error or lease.node.modified != held.revision:
                return
            end = {"ttl": str(lease.node.ttl)} if lease.node.ttl else {}
            client.ask("PUT", f"{self._beside.folder}{name}", {}, {"value": value, **end})

        def attempt(client: Etcd2Client) -> None:
            with self._beside.permitted(client.url, "write"):
                write(client)

        if self._beside.wanted:
            self._turns.call(attempt)

    def _said(self) -> tuple[Announcement, ...]:
        """What is said now, or later than the leases were listed: a watch tells it again."""

        def read(client: Etcd2Client) -> Sequence[Node]:
            with self._beside.permitted(client.url, "read"):
                answer = client.ask("GET", self._beside.folder.rstrip("/"), {**QUORUM, "recursive": "true"})
                return () if answer.error else answer.node.nodes
            return ()

        told = [self._beside.said(node.name, node.value) for node in self._turns.call(read)]
        return tuple(said for said in told if said is not None)

    def require(self, network: NetworkConfig) -> None:
        """See `Registry`. There is no place for IPv6."""
        if network.ipv6 is not None:
            raise Fatal(_ONLY_IPV4, code=Exit.CONFIG)

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `Store`."""
        return self._put(subnet, attrs, {"prevExist": "false"})

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        unchanged = {"prevIndex": str(held.revision)}
        return self._put(held.lease.subnet, attrs, unchanged, permanent=held.permanent)

    def replace(self, old: StoredLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `Store`. Two requests: one after which we have both, and one that takes the old one away.

        Where etcd fails in between we hold both for a while, which harms nobody: the new one is renewed,
        the old one runs out.
        """
        revision = self.create(subnet, attrs)
        if revision is None or self.remove(old):
            return revision
        self._delete(subnet, revision)
        return None

    def remove(self, held: StoredLease) -> bool:
        """See `Store`."""
        return self._delete(held.lease.subnet, held.revision)

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""

        def hear(answer: Etcd2Response) -> str:
            node = answer.node
            if node.key != f"{self._beside.folder}{node.name}":
                return f"{node.key} was {answer.action}d" if answer.action in DELETIONS else ""
            said = self._beside.said(node.name, b"" if answer.action in DELETIONS else node.value)
            if said is not None:
                deliver(said)
            return ""

        def hand_on(answer: Etcd2Response) -> str:
            if self._has_lost_all(answer):
                return f"{answer.node.key} was deleted"
            if (event := self._event(answer)) is not None:
                deliver(LeaseChanges((event,)))
            return ""

        def begin(client: Etcd2Client) -> Etcd2Watches:
            def end(reason: str) -> None:
                deliver(Reset(f"{client.url}: {reason}"))

            places = {self._directory: hand_on}
            if self._beside.wanted:
                places[self._beside.folder.rstrip("/")] = hear
            return Etcd2Watches(client, places, revision, on_end=end)

        self._turns.watch(begin)

    def probe(self) -> bytes | None:
        """See `Registry`. A quorum read, so that a member that is cut off from the others fails it too."""
        return self._turns.here(self._config)

    def close(self) -> None:
        """See `Registry`."""
        self._turns.close()

    def _config(self, client: Etcd2Client) -> bytes | None:
        answer = client.ask("GET", f"{self._prefix}/config", QUORUM)
        return None if answer.error else answer.node.value

    def _put(
        self, subnet: Subnet, attrs: LeaseAttrs, condition: Mapping[str, str], *, permanent: bool = False
    ) -> int | None:
        form = {"value": encode_v2(attrs).decode()}
        if not permanent:
            form["ttl"] = str(TTL)
        answer = self._ask("PUT", self._key(subnet), condition, form)
        return None if answer.error else answer.node.modified

    def _delete(self, subnet: Subnet, revision: int) -> bool:
        return not self._ask("DELETE", self._key(subnet), {"prevIndex": str(revision)}).error

    def _ask(
        self,
        method: str,
        name: str,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Etcd2Response:
        return self._turns.call(lambda client: client.ask(method, name, query, form))

    def _key(self, subnet: Subnet) -> str:
        if subnet.ipv4 is None or subnet.ipv6 is not None:
            raise Fatal(_ONLY_IPV4, code=Exit.CONFIG)
        return f"{self._directory}/{key(subnet)}"

    def _event(self, answer: Etcd2Response) -> LeaseEvent | None:
        """What an event says of a lease; None if nothing."""
        node = answer.node
        if node.key != f"{self._directory}/{node.name}":
            return None
        if answer.action in DELETIONS:
            return self._reader.deleted(node.name, node.modified)
        return self._reader.written(
            node.name, node.value, node.modified, permanent=node.permanent, created=node.created
        )

    def _has_lost_all(self, answer: Etcd2Response) -> bool:
        """Whether our directory, or one above it, was deleted: one event tells of all that was in it."""
        above = f"{answer.node.key}/"
        return answer.action in DELETIONS and f"{self._directory}/".startswith(above)


_ONLY_IPV4 = (
    "etcd's v2 API keeps leases in the format of flannel v0.5.5, which knows IPv4 alone: "
    "use -etcd-api v3, or a network configuration without EnableIPv6"
)
