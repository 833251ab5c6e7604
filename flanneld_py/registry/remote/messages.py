"""A client's requests in flannel's client/server protocol, and how it reads a server's answers."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from flanneld_py.lease.model import LeaseAttrs, StoredLease, encode
from flanneld_py.registry import LeaseAdded, LeaseEvent, LeaseRemoved, place_of, revision_of
from flanneld_py.registry.remote import protocol
from flanneld_py.subnet import Subnet, key

__all__ = ["acquire_text", "read_lease", "read_watch", "renew_text"]

T = TypeVar("T")


def acquire_text(attrs: LeaseAttrs, previous: Subnet | None) -> bytes:
    """A request for a lease; `previous` is the subnet that the node had."""
    members = json.loads(encode(attrs))
    return protocol.dump(members if previous is None else members | {"PreviousSubnet": key(previous)})


def renew_text(held: StoredLease, attrs: LeaseAttrs) -> bytes:
    """A request to renew a lease, with these attributes from now on."""
    renewed = replace(held, lease=replace(held.lease, attrs=attrs))
    return protocol.dump(protocol.lease_members(renewed, protocol.NEVER))


def read_lease(body: bytes) -> StoredLease:
    """The lease that was acquired; ValueError if there is none."""
    return protocol.lease_of(protocol.read(body))


def read_watch(body: bytes, skipped: Callable[[str], None]) -> protocol.WatchResult:
    """An answer to a list or a watch; ValueError if it is neither. `skipped` gets why an item is not a lease.

    v0.5.5 gives no revisions: the cursor stands for them, as the state was so at that revision; where it
    stands for several events of one subnet, the last one counts.
    """
    members = protocol.read(body)
    cursor = protocol.cursor_of(members.get("cursor"))
    snapshot = None
    if "snapshot" in members:
        listed = _readable(protocol.lease_of, members["snapshot"], skipped)
        snapshot = tuple(held if held.revision else replace(held, revision=cursor) for held in listed)
    events: Sequence[LeaseEvent] = _readable(_event, members.get("events", []), skipped)
    if not all(revision_of(event) for event in events):
        last = {place_of(event): event for event in events}
        events = [_at(event, cursor) for event in last.values()]
    epoch = members.get("epoch")
    return protocol.WatchResult(cursor, snapshot, tuple(events), epoch if isinstance(epoch, str) else "")


def _readable(
    read: Callable[[Mapping[str, object]], T], items: object, skipped: Callable[[str], None]
) -> Sequence[T]:
    if not isinstance(items, list):
        raise ValueError("it has no list of leases")

    def each() -> Iterator[T]:
        for item in items:
            try:
                yield read(protocol.lower(item))
            except ValueError as error:
                skipped(str(error))

    return list(each())


def _event(members: Mapping[str, object]) -> LeaseEvent:
    lease = protocol.lower(members.get("lease"))
    match members.get("type"):
        case "added":
            return LeaseAdded(protocol.lease_of(lease))
        case "removed":
            subnet, name = protocol.subnet_of(lease)
            return LeaseRemoved(subnet, protocol.asof(lease), name)
    raise ValueError(f"an event of the type {str(members.get('type'))[:60]!r}")


def _at(event: LeaseEvent, revision: int) -> LeaseEvent:
    if isinstance(event, LeaseAdded):
        return LeaseAdded(replace(event.held, revision=revision))
    return replace(event, revision=revision)
