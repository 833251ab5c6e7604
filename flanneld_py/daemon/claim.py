"""Our own lease, and our view of all others, as they follow from what the registry reports.

The decisions are here; the daemon carries them out. Nothing here blocks, or deals with a registry's
connections.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from flanneld_py.lease.admission import Admission, RefusedLease
from flanneld_py.lease.model import Lease, PeerAdded, PeerEvent, PeerRemoved, StoredLease, agree, diff, news
from flanneld_py.lease.validation import LeaseRules
from flanneld_py.registry import (
    TTL,
    Announcement,
    LeaseAdded,
    LeaseEvent,
    LeaseRemoved,
    LeaseUnreadable,
    Snapshot,
    announcements,
    place_of,
    revision_of,
)
from flanneld_py.subnet import Addresses, Subnet

__all__ = ["GUARD", "Claim", "Lost", "PeerView", "words"]

GUARD: Final = 30.0
"""How many seconds before the registry we consider a lease to have ended.

At that moment we may be waiting for an answer, a few seconds for each endpoint, and routes in the kernel are
withdrawn only after that.
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease is no longer ours."""

    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that we hold. Times are seconds of the daemon's clock, from *before* it was asked for.

    `spoiled`: our key does not have the value that our lease must have, and must be overwritten with it.
    `asked`: the public addresses that we last tried to write, perhaps without getting an answer.
    """

    held: StoredLease
    asked_at: float
    spoiled: bool = False
    asked: Addresses | None = None

    @property
    def subnet(self) -> Subnet:
        """Ours."""
        return self.held.lease.subnet

    @property
    def expires_at(self) -> float:
        """From then on we do not act on it; `GUARD` later others may hold it. Reservations never expire."""
        return math.inf if self.held.permanent else self.asked_at + TTL - GUARD

    def renew_at(self, margin: int) -> float:
        """When to renew it, `margin` minutes before it expires; at once if it is spoiled."""
        return self.asked_at if self.spoiled else self.expires_at + GUARD - margin * 60

    def concerns(self, change: LeaseEvent) -> bool:
        """Whether it is a change of our own key."""
        subnet, name = place_of(change)
        return (subnet, name) == (self.subnet, "")

    def after(self, change: LeaseEvent) -> "Claim | Lost":
        """The claim after this change. `Lost` if the key is gone or belongs to another machine.

        A change older than our own write is ignored. After a newer write with our own address the lease is
        still ours, at that revision; if it does not expire, it has become a reservation, as flannel
        documents, and if it does, it is no longer one. If its value differs from what we would write, such as
        a reservation with nothing but an address, peers cannot reach us by it.
        """
        match change:
            case LeaseRemoved(subnet, revision, name) if self._is_ours(subnet, revision, name):
                return Lost("its key was deleted or has expired")
            case LeaseUnreadable(subnet, revision, name) if self._is_ours(subnet, revision, name):
                return replace(self, held=replace(self.held, revision=revision), spoiled=True)
            case LeaseAdded(held) if self._is_ours(held.lease.subnet, held.revision, held.name):
                holder = held.lease.attrs.public
                ours = (self.held.lease.attrs.public, self.asked)
                if not any(known is not None and holder.is_same_machine(known) for known in ours):
                    return Lost(f"{holder} has written its key")
                kept = replace(self.held, revision=held.revision, permanent=held.permanent)
                # We do not know the TTL of a lease that somebody else turned a reservation into.
                ended = self.held.permanent and not held.permanent
                differs = not agree(held.lease.attrs, self.held.lease.attrs)
                return replace(self, held=kept, spoiled=ended or differs)
        return self

    def after_list(self, snapshot: Snapshot) -> "Claim | Lost":
        """The claim after a list of everything.

        Revisions may be lower than ours if etcd was restored from a backup.
        """
        changes: list[LeaseEvent] = [*(LeaseAdded(held) for held in snapshot.leases), *snapshot.spoiled]
        for change in changes:
            (subnet, name), revision = place_of(change), revision_of(change)
            if (subnet, name) == (self.subnet, ""):
                # Even at our own revision: an etcd that was recreated counts from the beginning.
                return replace(self, held=replace(self.held, revision=revision - 1)).after(change)
        return Lost("its key is gone")

    def _is_ours(self, subnet: Subnet, revision: int, name: str) -> bool:
        return subnet == self.subnet and name == "" and revision > self.held.revision


@dataclass(slots=True)
class PeerView:
    """The other machines' leases, as far as we know them, and which of them are `peers`.

    Of several keys for one subnet flannel's canonical one counts. A lease with our own address is not a
    peer's, whatever its subnet: its packets would come back to us. Neither are those that `admission`
    refuses.
    """

    rules: LeaseRules
    admission: Admission = field(init=False)
    _canonical: dict[Subnet, StoredLease] = field(default_factory=dict)
    _aliases: dict[Subnet, dict[str, StoredLease]] = field(default_factory=dict)
    """Leases under other keys than flannel's canonical ones; there are hardly ever any."""
    _said: dict[Subnet, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admission = Admission(self.rules)

    @property
    def peers(self) -> Mapping[Subnet, Lease]:
        """The leases that packets are carried to and from."""
        return self.admission.admitted

    def judge_by(self, rules: LeaseRules) -> tuple[PeerEvent, ...]:
        """Use these rules from now on; returns what that changes. Costs as much as a list."""
        if rules == self.rules:
            return ()
        self.rules = rules
        return self._judge_all()

    def reset(self, snapshot: Snapshot) -> tuple[PeerEvent, ...]:
        """Take over a list of everything; returns what that changes."""
        self._canonical, self._aliases = {}, {}
        self._said = {said.subnet: said.text for said in snapshot.announced}
        for held in snapshot.leases:
            self._put(held.lease.subnet, held.name, held)
        return self._judge_all()

    def _judge_all(self) -> tuple[PeerEvent, ...]:
        before = self.admission
        candidates = map(self._candidate, self._canonical.keys() | self._aliases.keys())
        self.admission = Admission.of(self.rules, [held for held in candidates if held is not None])
        fresh = self.admission.fresh
        fresh[:] = [refused for refused in fresh if not _is_known(refused, before)]
        return diff(before.admitted, self.admission.admitted)

    def newly_refused(self) -> Sequence[RefusedLease]:
        """Leases that were refused since the last call, or are now refused for another fault."""
        fresh, self.admission.fresh = self.admission.fresh, []
        return fresh

    def apply(self, changes: Iterable[LeaseEvent]) -> tuple[PeerEvent, ...]:
        """Take over what happened; returns what that changes, in order."""
        return tuple(event for change in changes for event in self._apply(change))

    def _apply(self, happened: LeaseEvent) -> Iterator[PeerEvent]:
        subnet, alias = place_of(happened)
        self._put(subnet, alias, happened.held if isinstance(happened, LeaseAdded) else None)
        yield from self._look(subnet)

    def hear(self, said: Announcement) -> tuple[PeerEvent, ...]:
        """Take over an announcement; returns what that changes."""
        if said.text:
            self._said[said.subnet] = said.text
        else:
            self._said.pop(said.subnet, None)
        return tuple(self._look(said.subnet))

    def _look(self, subnet: Subnet) -> Iterator[PeerEvent]:
        """Find the subnet's lease as it is now, and what that means for it and for others."""
        held = self._candidate(subnet)
        changed = self.admission.remove(subnet) if held is None else self.admission.put(held)
        for before, after in changed:
            if after is None:
                if before is not None:
                    yield PeerRemoved(before)
            elif after != before:
                yield news(before, after)

    def _put(self, subnet: Subnet, alias: str, lease: StoredLease | None) -> None:
        """Set what is under the key now, None for nothing. `alias` is empty for flannel's own key."""
        known: dict[Any, StoredLease] = self._aliases.setdefault(subnet, {}) if alias else self._canonical
        where = alias or subnet
        if lease is None:
            known.pop(where, None)
        else:
            known[where] = lease
        if alias and not known:
            del self._aliases[subnet]

    def _candidate(self, subnet: Subnet) -> StoredLease | None:
        """The lease of the subnet that counts, unless it is our own."""
        held = self._canonical.get(subnet)
        if held is None:
            held = next(reversed(self._aliases.get(subnet, {}).values()), None)
        if held is None or held.lease.attrs.public.is_same_machine(self.rules.public):
            return None
        said = self._said.get(subnet, b"")
        # Of another lease, or of one that another flannel has renewed since: it means nothing.
        counts = said and not held.name and announcements.revision_of(said) == held.revision
        return replace(held, lease=replace(held.lease, announced=said)) if counts else held


def _is_known(refused: RefusedLease, before: Admission) -> bool:
    """Whether it was already refused for the same fault."""
    known = before.refused.get(refused.held.lease.subnet)
    return known is not None and known.fault is refused.fault


def words(event: PeerEvent) -> str:
    """An event in flannel's words."""
    match event:
        case PeerAdded(lease):
            return f"Subnet added: {lease.subnet}"
        case PeerRemoved(lease):
            return f"Subnet removed: {lease.subnet}"
