"""Where leases live. One protocol, and a package for each kind of registry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from flanneld_py.config.model import NetworkConfig
from flanneld_py.lease.allocate import Pick
from flanneld_py.lease.model import LeaseAttrs, StoredLease
from flanneld_py.subnet import Subnet

__all__ = [
    "TTL",
    "AccessRefused",
    "LeaseAdded",
    "LeaseChanges",
    "LeaseEvent",
    "LeaseRemoved",
    "Registry",
    "Reset",
    "Snapshot",
]
__all__ += [
    "Announcement",
    "Forbidden",
    "LeaseRequest",
    "LeaseUnreadable",
    "RegistryUnavailable",
    "WatchMessage",
    "place_of",
    "revision_of",
]

TTL = 86400
"""Seconds that a lease lives without renewal: 24 hours, as in every flannel."""


class RegistryUnavailable(Exception):
    """No endpoint answered. The message says what each did instead, `trouble` what kind of failure it is."""

    trouble: ClassVar[str] = "etcd does not answer"


class AccessRefused(RegistryUnavailable):
    """An endpoint answered but denied us access; the message says which one, and what to do about it."""

    trouble: ClassVar[str] = "access to etcd denied"


class Forbidden(AccessRefused):
    """An endpoint recognised us, but does not permit this."""


@dataclass(frozen=True, slots=True)
class LeaseAdded:
    """A lease was written."""

    held: StoredLease


@dataclass(frozen=True, slots=True)
class LeaseRemoved:
    """A lease was deleted or expired, at this revision. `name` as in `StoredLease`."""

    subnet: Subnet
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class LeaseUnreadable:
    """A subnet's key was given a value that is not a lease. `revision` and `name` as in `LeaseRemoved`."""

    subnet: Subnet
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the holder of a subnet announces beside its lease (see `announcements`); empty if nothing now."""

    subnet: Subnet
    text: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All leases at one revision of the registry.

    `leases` may hold two of one subnet, under different names. `spoiled` are keys of subnets whose value
    cannot be read: nobody may take these subnets. `announced` is what nodes announce beside their leases, if
    followed.
    """

    leases: tuple[StoredLease, ...]
    revision: int
    spoiled: tuple[LeaseUnreadable, ...] = ()
    announced: tuple[Announcement, ...] = ()


LeaseEvent = LeaseAdded | LeaseRemoved | LeaseUnreadable


def place_of(event: LeaseEvent) -> tuple[Subnet, str]:
    """The subnet that an event is about, and `name` as in `StoredLease`."""
    if isinstance(event, LeaseAdded):
        return event.held.lease.subnet, event.held.name
    return event.subnet, event.name


def revision_of(event: LeaseEvent) -> int:
    """The registry's revision at which it happened."""
    return event.held.revision if isinstance(event, LeaseAdded) else event.revision


@dataclass(frozen=True, slots=True)
class LeaseChanges:
    """What happened since the snapshot or the last changes, in order."""

    events: tuple[LeaseEvent, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """The watch has ended (the connection broke, history was compacted): list again, watch again."""

    reason: str


WatchMessage = LeaseChanges | Announcement | Reset


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """The lease that a node wants: `previous` is the subnet it had, `pick` how it chooses another."""

    network: NetworkConfig
    attrs: LeaseAttrs
    previous: Subnet | None
    pick: Pick


class Registry(Protocol):
    """Leases under one prefix.

    Every method raises `RegistryUnavailable` within a few seconds when nobody answers, and `Stopped` after
    `close`. Only `close` may be called from another thread.
    """

    def config(self) -> bytes | None:
        """The network configuration, or None if there is none yet."""

    def require(self, network: NetworkConfig) -> None:
        """Raise `Fatal` with `Exit.CONFIG` if leases of such a network cannot be kept here."""

    def snapshot(self) -> Snapshot:
        """All leases. Anything else under the prefix is left out, with one warning each."""

    def acquire(self, known: Snapshot, request: LeaseRequest) -> StoredLease | None:
        """Acquire a lease, given what is known; None if that is out of date. Raises `OutOfSubnets`."""

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """Write a lease that we hold again, for another 24 hours or, if it is permanent, for ever.

        Returns the revision written, or None if the lease changed since `held.revision`.
        """

    def follow_announcements(self, kind: str) -> None:
        """From now on also follow what nodes with a backend of this type announce beside their leases."""

    def announce(self, held: StoredLease, text: bytes) -> None:
        """Announce this, a JSON object, beside a lease of ours, for as long as that stays as it is held.

        Does nothing if the lease has changed, or if this registry has no place for announcements.
        """

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver, from another thread, all that happens after a revision, until the first `Reset`.

        A new watch ends the previous one, which delivers nothing from then on.
        """

    def probe(self) -> bytes | None:
        """`config`, from the very endpoint that we watch; a stopped process never closes a connection.

        Raises `RegistryUnavailable` if it does not answer; then the next call begins with another endpoint.
        """

    def close(self) -> None:
        """End the watch and all connections; a call under way in another thread ends with `Stopped`."""
