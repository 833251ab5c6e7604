"""What becomes of our own lease, and of our view of all others, by what the registry tells.

The decisions are here; the daemon performs them. Nothing here blocks or knows a registry's connections.
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
    LeaseRemoved,
    LeaseUnreadable,
    Snapshot,
    announcements,
)
from flanneld_py.registry import LeaseEvent as Change
from flanneld_py.subnet import Addresses, Subnet

__all__ = ["GUARD", "Claim", "Lost", "PeerView", "words"]

GUARD: Final = 30.0
"""Seconds before the registry ends a lease at which we do.

At that moment we may be waiting for an answer, for some seconds of each endpoint, and routes in the kernel
are withdrawn only after that.
"""


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease is not ours any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that we hold. Times are seconds of the daemon's clock, from *before* it was asked for.

    `spoiled`: what is under our key does not say what our lease must, and ours is to be written over it.
    `asked`: what it was last asked to say, perhaps to no answer, where that names another address of ours.
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
        """From then on we act on it no more; `GUARD` later another may hold it. A reservation has no end."""
        return math.inf if self.held.permanent else self.asked_at + TTL - GUARD

    def renew_at(self, margin: int) -> float:
        """When to renew it, `margin` minutes before it runs out; at once if it is spoiled."""
        return self.asked_at if self.spoiled else self.expires_at + GUARD - margin * 60

    def concerns(self, change: Change) -> bool:
        """Whether it is a change of our own key."""
        subnet, _, name = _of(change)
        return (subnet, name) == (self.subnet, "")

    def after(self, change: Change) -> "Claim | Lost":
        """What this change leaves of it. `Lost` when the key is gone or another machine's.

        A change older than our own write is history. A newer write that names our own address leaves the
        lease ours, at that revision; without an end it makes a reservation of it, as flannel documents, and
        with one it ends a reservation. If it says anything else than we would, such as a reservation with
        nothing but an address, peers do not find us by it.
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
                # How long a lease lives that another's hand made of a reservation is not known.
                ended = self.held.permanent and not held.permanent
                differs = not agree(held.lease.attrs, self.held.lease.attrs)
                return replace(self, held=kept, spoiled=ended or differs)
        return self

    def after_list(self, snapshot: Snapshot) -> "Claim | Lost":
        """What a list of everything leaves of it.

        Here revisions may be lower than ours, where etcd was restored from a backup.
        """
        changes: list[Change] = [*(LeaseAdded(held) for held in snapshot.leases), *snapshot.spoiled]
        for change in changes:
            subnet, revision, name = _of(change)
            if (subnet, name) == (self.subnet, ""):
                # Also at our own revision: an etcd that began anew counts from the beginning.
                return replace(self, held=replace(self.held, revision=revision - 1)).after(change)
        return Lost("its key is gone")

    def _is_ours(self, subnet: Subnet, revision: int, name: str) -> bool:
        return subnet == self.subnet and name == "" and revision > self.held.revision


def _of(change: Change) -> tuple[Subnet, int, str]:
    match change:
        case LeaseAdded(held):
            return held.lease.subnet, held.revision, held.name
        case LeaseRemoved(subnet, revision, name) | LeaseUnreadable(subnet, revision, name):
            return subnet, revision, name


@dataclass(slots=True)
class PeerView:
    """The other machines' leases, as far as we know them, and of those the ones that are `peers`.

    Of several keys for one subnet flannel's canonical one counts. A lease of our own address is no
    peer's, whatever subnet it is of: its packets would come back to us. Of the others, those that `admission`
    refuses are none either.
    """

    rules: LeaseRules
    admission: Admission = field(init=False)
    _canonical: dict[Subnet, StoredLease] = field(default_factory=dict)
    _aliases: dict[Subnet, dict[str, StoredLease]] = field(default_factory=dict)
    """Leases under other keys than flannel's own, of which there are hardly ever any."""
    _said: dict[Subnet, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.admission = Admission(self.rules)

    @property
    def peers(self) -> Mapping[Subnet, Lease]:
        """Those that packets are carried to and from."""
        return self.admission.admitted

    def judge_by(self, rules: LeaseRules) -> tuple[PeerEvent, ...]:
        """Go by other rules from now on; what that changes. The cost is that of a list."""
        if rules == self.rules:
            return ()
        self.rules = rules
        return self._judge_all()

    def reset(self, snapshot: Snapshot) -> tuple[PeerEvent, ...]:
        """Take over a list of everything; what that changes."""
        self._canonical, self._aliases = {}, {}
        self._said = {said.subnet: said.text for said in snapshot.said}
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
        """Leases that are refused since this was last asked, or for another fault than before."""
        fresh, self.admission.fresh = self.admission.fresh, []
        return fresh

    def apply(self, changes: Iterable[Change]) -> tuple[PeerEvent, ...]:
        """Take over what happened; what that changes, in its order."""
        return tuple(event for change in changes for event in self._apply(change))

    def _apply(self, happened: Change) -> Iterator[PeerEvent]:
        subnet, _, alias = _of(happened)
        self._put(subnet, alias, happened.held if isinstance(happened, LeaseAdded) else None)
        yield from self._look(subnet)

    def hear(self, said: Announcement) -> tuple[PeerEvent, ...]:
        """Take over what is said beside a lease; what that changes."""
        if said.text:
            self._said[said.subnet] = said.text
        else:
            self._said.pop(said.subnet, None)
        return tuple(self._look(said.subnet))

    def _look(self, subnet: Subnet) -> Iterator[PeerEvent]:
        """See what the subnet's lease is by now, and what that means for it and for others."""
        held = self._candidate(subnet)
        changed = self.admission.remove(subnet) if held is None else self.admission.put(held)
        for before, after in changed:
            if after is None:
                if before is not None:
                    yield PeerRemoved(before)
            elif after != before:
                yield news(before, after)

    def _put(self, subnet: Subnet, alias: str, lease: StoredLease | None) -> None:
        """What is under the key now; None for nothing. `alias` is empty for flannel's own key."""
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
        # Said of another lease, it is of no meaning, or of one that has become another flannel's.
        counts = said and not held.name and announcements.revision_of(said) == held.revision
        return replace(held, lease=replace(held.lease, announced=said)) if counts else held


def _is_known(refused: RefusedLease, before: Admission) -> bool:
    """Whether it was refused for the same fault already."""
    known = before.refused.get(refused.held.lease.subnet)
    return known is not None and known.fault is refused.fault


def words(event: PeerEvent) -> str:
    """An event in flannel's words."""
    match event:
        case PeerAdded(lease):
            return f"Subnet added: {lease.subnet}"
        case PeerRemoved(lease):
            return f"Subnet removed: {lease.subnet}"
