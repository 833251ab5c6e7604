"""Leases in etcd v2, byte for byte as flannel v0.5.5 keeps them (its subnet/registry.go).

Unlike v0.5.5 we read from a quorum, and compare what we overwrite with what we know. IPv4 only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode_v2
from flanneld_py.registry import TTL, LeaseChanges, LeaseEvent, WatchMessage, announcements
from flanneld_py.registry.access import NO_CREDENTIALS, Credentials, Endpoint
from flanneld_py.registry.deadline import Deadline
from flanneld_py.registry.etcd2.client import TIMEOUT, Etcd2Client, Etcd2Response
from flanneld_py.registry.etcd2.watch import Etcd2Watches
from flanneld_py.registry.etcd_common import EtcdStore, ListedKey
from flanneld_py.registry.tls import Tls
from flanneld_py.subnet import Subnet, key

__all__ = ["Etcd2Registry"]

QUORUM = {"quorum": "true"}
DELETIONS = frozenset({"delete", "expire", "compareAndDelete"})


class Etcd2Registry(EtcdStore[Etcd2Client]):
    """See `EtcdStore`."""

    def __init__(
        self,
        urls: Sequence[str],
        prefix: str,
        credentials: Credentials = NO_CREDENTIALS,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        super().__init__(urls, prefix, credentials, timeout)
        self._directory = self._folder.rstrip("/")

    def _connect(self, endpoint: Endpoint, tls: Tls | None, deadline: Deadline) -> Etcd2Client:
        return Etcd2Client(endpoint, self._credentials, tls, self._prefix, deadline)

    def _read_config(self, client: Etcd2Client) -> bytes | None:
        answer = client.ask("GET", f"{self._prefix}/config", QUORUM)
        return None if answer.error else answer.node.value

    def _list(self, client: Etcd2Client) -> tuple[Iterable[ListedKey], int]:
        answer = client.ask("GET", self._directory, {**QUORUM, "recursive": "true"})
        nodes = () if answer.error else answer.node.nodes
        keys = ((node.name, node.value, node.modified, node.permanent, node.created) for node in nodes)
        return keys, answer.index

    def _list_announcements(self, client: Etcd2Client) -> Iterable[tuple[str, bytes]]:
        directory = self._announcements.folder.rstrip("/")
        answer = client.ask("GET", directory, {**QUORUM, "recursive": "true"})
        return () if answer.error else ((node.name, node.value) for node in answer.node.nodes)

    def _write_announcement(self, client: Etcd2Client, held: StoredLease, text: bytes) -> None:
        """It lives as long as the lease has left; v2 has nothing that would tie it to the lease.

        It may be there for a moment longer, as long as the two requests take: of a lease that is gone nobody
        reads what was said of it.
        """
        name = key(held.lease.subnet)
        lease = client.ask("GET", f"{self._directory}/{name}", QUORUM)
        if lease.error or lease.node.modified != held.revision:
            return
        form = {"value": announcements.stamped(text, held.revision).decode()}
        if lease.node.ttl:
            form["ttl"] = str(lease.node.ttl)
        client.ask("PUT", f"{self._announcements.folder}{name}", {}, form)

    def require(self, network: NetworkConfig) -> None:
        """See `Registry`. v2 has no place for IPv6."""
        if network.ipv6 is not None:
            raise Fatal(_ONLY_IPV4, code=Exit.CONFIG)

    def create(self, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `LeaseStore`."""
        return self._put(subnet, attrs, {"prevExist": "false"})

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """See `Registry`."""
        unchanged = {"prevIndex": str(held.revision)}
        return self._put(held.lease.subnet, attrs, unchanged, permanent=held.permanent)

    def replace(self, old: StoredLease, subnet: Subnet, attrs: LeaseAttrs) -> int | None:
        """See `LeaseStore`. Two requests: after the first we have both leases, the second removes the old.

        If etcd fails in between we hold both for a while, which harms nobody: the new one is renewed, the old
        one expires.
        """
        revision = self.create(subnet, attrs)
        if revision is None or self.remove(old):
            return revision
        self._delete(subnet, revision)
        return None

    def remove(self, held: StoredLease) -> bool:
        """See `LeaseStore`."""
        return self._delete(held.lease.subnet, held.revision)

    def _begin_watch(
        self,
        client: Etcd2Client,
        revision: int,
        deliver: Callable[[WatchMessage], None],
        on_end: Callable[[str], None],
    ) -> Etcd2Watches:
        def hear(answer: Etcd2Response) -> str:
            node = answer.node
            if node.key != f"{self._announcements.folder}{node.name}":
                return f"{node.key} was {answer.action}d" if answer.action in DELETIONS else ""
            value = b"" if answer.action in DELETIONS else node.value
            announced = self._announcements.read(node.name, value)
            if announced is not None:
                deliver(announced)
            return ""

        def hand_on(answer: Etcd2Response) -> str:
            if self._has_lost_all(answer):
                return f"{answer.node.key} was deleted"
            if (event := self._event(answer)) is not None:
                deliver(LeaseChanges((event,)))
            return ""

        places = {self._directory: hand_on}
        if self._announcements.wanted:
            places[self._announcements.folder.rstrip("/")] = hear
        return Etcd2Watches(client, places, revision, on_end=on_end)

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
        return self._failover.call(lambda client: client.ask(method, name, query, form))

    def _key(self, subnet: Subnet) -> str:
        if subnet.ipv4 is None or subnet.ipv6 is not None:
            raise Fatal(_ONLY_IPV4, code=Exit.CONFIG)
        return f"{self._directory}/{key(subnet)}"

    def _event(self, answer: Etcd2Response) -> LeaseEvent | None:
        """What an event says about a lease; None if nothing."""
        node = answer.node
        if node.key != f"{self._directory}/{node.name}":
            return None
        if answer.action in DELETIONS:
            return self._reader.deleted(node.name, node.modified)
        return self._reader.written(
            node.name, node.value, node.modified, permanent=node.permanent, created=node.created
        )

    def _has_lost_all(self, answer: Etcd2Response) -> bool:
        """Whether our directory, or one above it, was deleted: one event stands for all that was in it."""
        above = f"{answer.node.key}/"
        return answer.action in DELETIONS and f"{self._directory}/".startswith(above)


_ONLY_IPV4 = (
    "etcd's v2 API keeps leases in the format of flannel v0.5.5, which supports IPv4 only: "
    "use -etcd-api v3, or a network configuration without EnableIPv6"
)
