"""What the registries in etcd share, whichever of its APIs they use: keys, endpoints, announcements."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Generic, Protocol, TypeAlias, TypeVar

from flanneld_py.kernel.neighbour_tables import NeighbourTables
from flanneld_py.lease.model import StoredLease
from flanneld_py.options import Options
from flanneld_py.registry import Announcement, Reset, Snapshot, WatchMessage, misplaced_config
from flanneld_py.registry.access import Credentials, Endpoint, endpoints, prefix_of
from flanneld_py.registry.announcements import AnnouncementReader, folder
from flanneld_py.registry.deadline import Deadline
from flanneld_py.registry.failover import Connection, Failover, RunningWatch
from flanneld_py.registry.lease_keys import LeaseReader
from flanneld_py.registry.lease_store import LeaseStore
from flanneld_py.registry.location import Location
from flanneld_py.registry.tls import Tls, client_tls

__all__ = ["EtcdConnection", "EtcdStore", "ListedKey", "location"]

ListedKey: TypeAlias = tuple[str, bytes, int, bool, int]
"""A key's last part, value, revision of its last change, whether it has no end, and of its first change."""


class EtcdConnection(Connection, Protocol):
    """A client of one endpoint of etcd."""

    url: str


C = TypeVar("C", bound=EtcdConnection)


class EtcdStore(LeaseStore, Generic[C]):
    """See `registry.Registry`. Making one raises `Fatal` where the credentials cannot be used."""

    def __init__(self, urls: Sequence[str], prefix: str, credentials: Credentials, timeout: float) -> None:
        self._prefix = prefix
        self._folder = f"{prefix}/subnets/"
        self._reader = LeaseReader(self._folder)
        self._announcements = AnnouncementReader()
        self._credentials = credentials
        places = endpoints(urls)
        tls = client_tls(places, credentials)
        self._failover = Failover(
            places,
            lambda endpoint, deadline: self._connect(endpoint, tls, deadline),
            timeout,
            NeighbourTables().filled,
        )

    @abstractmethod
    def _connect(self, endpoint: Endpoint, tls: Tls | None, deadline: Deadline) -> C:
        """A connection to one endpoint."""

    @abstractmethod
    def _read_config(self, client: C) -> bytes | None:
        """The configuration, as of a majority of etcd's members."""

    @abstractmethod
    def _list(self, client: C) -> tuple[Iterable[ListedKey], int]:
        """All keys below `_folder`, as of a majority of etcd's members, and etcd's revision."""

    @abstractmethod
    def _list_announcements(self, client: C) -> Iterable[tuple[str, bytes]]:
        """The last part and the value of each key that announces something."""

    @abstractmethod
    def _write_announcement(self, client: C, held: StoredLease, text: bytes) -> None:
        """Write what a lease of ours announces, if that is still as it is held."""

    @abstractmethod
    def _begin_watch(
        self,
        client: C,
        revision: int,
        deliver: Callable[[WatchMessage], None],
        on_end: Callable[[str], None],
    ) -> RunningWatch:
        """Watch leases and, if they are wanted, announcements; `on_end` gets the reason why it has ended."""

    def config(self) -> bytes | None:
        """See `Registry`."""
        return self._failover.call(self._read_config)

    def snapshot(self) -> Snapshot:
        """See `Registry`."""
        listed, revision = self._failover.call(self._list)
        snapshot = self._reader.snapshot(listed, revision)
        return replace(snapshot, announced=self._announced()) if self._announcements.folder else snapshot

    def follow_announcements(self, kind: str) -> None:
        """See `Registry`."""
        self._announcements = AnnouncementReader(folder(self._prefix, kind))

    def announce(self, held: StoredLease, text: bytes) -> None:
        """See `Registry`."""

        def attempt(client: C) -> None:
            with self._announcements.permitted(client.url, "write"):
                self._write_announcement(client, held, text)

        if self._announcements.wanted:
            self._failover.call(attempt)

    def _announced(self) -> tuple[Announcement, ...]:
        """What is announced now, or later than the leases were listed: a watch delivers it again."""

        def read(client: C) -> Sequence[tuple[str, bytes]]:
            with self._announcements.permitted(client.url, "read"):
                return tuple(self._list_announcements(client))
            return ()

        listed = [self._announcements.read(name, value) for name, value in self._failover.call(read)]
        return tuple(announced for announced in listed if announced is not None)

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """See `Registry`."""

        def begin(client: C) -> RunningWatch:
            def end(reason: str) -> None:
                deliver(Reset(f"{client.url}: {reason}"))

            return self._begin_watch(client, revision, deliver, end)

        self._failover.watch(begin)

    def probe(self) -> bytes | None:
        """See `Registry`. A member that is cut off from the majority fails it, too."""
        return self._failover.here(self._read_config)

    def close(self) -> None:
        """See `Registry`."""
        self._failover.close()


def location(options: Options, network: str = "") -> Location:
    """See `choose.location`."""
    return Location(
        keys=prefix_of(options, network),
        absent="etcd has no key {} yet",
        urls=options.etcd_endpoints,
        advice=lambda: misplaced_config.advice(options, network),
    )
