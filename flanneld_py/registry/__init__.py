"""Where leases live. One protocol, and a module for each kind of registry."""

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
]

TTL = 86400
"""Seconds that a lease lives without renewal: 24 hours, as in every flannel."""


class RegistryUnavailable(Exception):
    """No endpoint answered; the message says what each of them did instead, and `trouble` what kind it is."""

    trouble: ClassVar[str] = "etcd does not answer"


class AccessRefused(RegistryUnavailable):
    """An endpoint answered, and does not let us in; the message says whom, and what to do about it."""

    trouble: ClassVar[str] = "etcd does not let us in"


class Forbidden(AccessRefused):
    """An endpoint knows us, and does not let us do this."""


@dataclass(frozen=True, slots=True)
class LeaseAdded:
    """A lease was written."""

    held: StoredLease


@dataclass(frozen=True, slots=True)
class LeaseRemoved:
    """A lease was deleted or has run out, at this revision. `name` as in `StoredLease`."""

    subnet: Subnet
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class LeaseUnreadable:
    """What was written to a subnet's key is no lease. `revision` and `name` as in `LeaseRemoved`."""

    subnet: Subnet
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the holder of a subnet says beside its lease (see `beside`); empty: nothing any more."""

    subnet: Subnet
    text: bytes


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All leases at one revision of the registry.

    `leases` may hold two of one subnet, under different names. `spoiled` are the keys of subnets whose value
    says nothing readable: nobody may take these. `said` is what nodes say beside, where that is followed.
    """

    leases: tuple[StoredLease, ...]
    revision: int
    spoiled: tuple[LeaseUnreadable, ...] = ()
    said: tuple[Announcement, ...] = ()


LeaseEvent = LeaseAdded | LeaseRemoved | LeaseUnreadable


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
    """The lease that a node would have: `previous` is the subnet it had, `pick` how it chooses another."""

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
        """The network configuration, or None where there is none yet."""

    def require(self, network: NetworkConfig) -> None:
        """Raise `Fatal` with `Exit.CONFIG` if leases of such a network cannot be kept here."""

    def snapshot(self) -> Snapshot:
        """All leases. What is no lease under the prefix is left out, with one warning each."""

    def acquire(self, known: Snapshot, request: LeaseRequest) -> StoredLease | None:
        """Hold a lease, going by what is known; None when that is no longer so. Raises `OutOfSubnets`."""

    def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
        """Write a lease that we hold anew, for another 24 hours or, a permanent one, for ever.

        The revision written, or None if it changed since `held.revision`.
        """

    def follow_announcements(self, kind: str) -> None:
        """From now on follow what nodes with a backend of this type say beside their leases, too."""

    def announce(self, held: StoredLease, text: bytes) -> None:
        """Say this, a JSON object, beside a lease of ours, for as long as that stays as it is held.

        Nothing happens if it is not so any more, or where this registry has no place for it.
        """

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver, from another thread, all that happens after a revision, until the first `Reset`.

        A new watch ends the one before, which delivers nothing any more.
        """

    def probe(self) -> bytes | None:
        """`config`, of the very endpoint that we watch; a stopped process never closes a connection.

        Raises `RegistryUnavailable` if it does not answer; then the next call begins with another endpoint.
        """

    def close(self) -> None:
        """End the watch and all connections; a call under way in another thread ends with `Stopped`."""
