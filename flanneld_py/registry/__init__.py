"""Where leases live. One protocol; `registry.etcd` is the real thing, `registry.memory` serves tests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Protocol

from flanneld_py.allocate import HeldLease, Replace
from flanneld_py.lease import LeaseAttrs

__all__ = ["TTL", "Changes", "Gone", "Put", "Registry", "Reset", "Snapshot", "Unavailable", "WatchMessage"]

TTL = 86400
"""Seconds that a lease lives without renewal: 24 hours, as in every flannel."""


class Unavailable(Exception):
    """No endpoint answered; the message says what each of them did instead."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All leases at one revision of the registry.

    `taken` are the subnets of keys whose value says nothing readable.
    """

    leases: Mapping[IPv4Network, HeldLease]
    revision: int
    taken: frozenset[IPv4Network] = frozenset()


@dataclass(frozen=True, slots=True)
class Put:
    """A lease was written."""

    held: HeldLease


@dataclass(frozen=True, slots=True)
class Gone:
    """A lease was deleted or has run out, at this revision."""

    subnet: IPv4Network
    revision: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the snapshot or the last changes, in order."""

    events: tuple[Put | Gone, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """The watch has ended (the connection broke, history was compacted): list again, watch again."""

    reason: str


WatchMessage = Changes | Reset


class Registry(Protocol):
    """Leases under one prefix. Every method raises `Unavailable` within a few seconds when nobody answers."""

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
        """Deliver, from another thread, all that happens after a revision, until the first `Reset`."""

    def alive(self) -> bool:
        """Whether the endpoint that we watch still answers; a stopped process never closes a connection."""

    def close(self) -> None:
        """End the watch and all connections."""
