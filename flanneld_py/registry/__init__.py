"""Where leases live. One protocol; `registry.etcd` is the real thing, `registry.memory` serves tests."""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Protocol

from flanneld_py.allocate import HeldLease, Replace
from flanneld_py.lease import LeaseAttrs

__all__ = ["TTL", "Changes", "Event", "Gone", "Put", "Registry", "Reset", "Snapshot", "Spoiled"]
__all__ += ["Stopped", "Unavailable", "WatchMessage"]

TTL = 86400
"""Seconds that a lease lives without renewal: 24 hours, as in every flannel."""


class Unavailable(Exception):
    """No endpoint answered; the message says what each of them did instead."""


class Stopped(Exception):
    """`close` was called: nothing will be answered any more."""


@dataclass(frozen=True, slots=True)
class Put:
    """A lease was written."""

    held: HeldLease


@dataclass(frozen=True, slots=True)
class Gone:
    """A lease was deleted or has run out, at this revision. `name` as in `HeldLease`."""

    subnet: IPv4Network
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Spoiled:
    """Something that is no lease was written to a subnet's key. `revision` and `name` as in `Gone`."""

    subnet: IPv4Network
    revision: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All leases at one revision of the registry.

    `leases` may hold two of one subnet, under different names. `spoiled` are the keys of subnets whose value
    says nothing readable: nobody may take these.
    """

    leases: tuple[HeldLease, ...]
    revision: int
    spoiled: tuple[Spoiled, ...] = ()


Event = Put | Gone | Spoiled


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the snapshot or the last changes, in order."""

    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """The watch has ended (the connection broke, history was compacted): list again, watch again."""

    reason: str


WatchMessage = Changes | Reset


class Registry(Protocol):
    """Leases under one prefix.

    Every method raises `Unavailable` within a few seconds when nobody answers, and `Stopped` after `close`.
    Only `close` may be called from another thread.
    """

    def config(self) -> bytes | None:
        """The network configuration, or None where there is none yet."""

    def snapshot(self) -> Snapshot:
        """All leases. What is no lease under the prefix is left out, with one warning each."""

    def create(self, subnet: IPv4Network, attrs: LeaseAttrs) -> int | None:
        """Take a subnet if nobody holds it; the revision written, or None if somebody does."""

    def renew(self, subnet: IPv4Network, revision: int, attrs: LeaseAttrs) -> int | None:
        """Write a lease that we hold anew, for another 24 hours; None if it changed since that revision."""

    def replace(self, choice: Replace, attrs: LeaseAttrs) -> int | None:
        """Give a lease back and take another, both or neither; None if either is not as it was known."""

    def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
        """Deliver, from another thread, all that happens after a revision, until the first `Reset`.

        A new watch ends the one before, which delivers nothing any more.
        """

    def probe(self) -> None:
        """Ask the endpoint that we watch for a sign of life; a stopped process never closes a connection.

        Raises `Unavailable` if there is none; then the next call begins with another endpoint.
        """

    def close(self) -> None:
        """End the watch and all connections; a call under way in another thread ends with `Stopped`."""
