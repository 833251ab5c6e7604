"""Our own lease: taking it, keeping it, noticing that it is lost, and all the others' leases.

The decisions are here; the daemon performs them. Nothing here blocks or knows a registry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from flanneld_py.allocate import HeldLease
from flanneld_py.lease import Added, Event, Lease, Removed, diff
from flanneld_py.registry import TTL, Gone, Put, Snapshot

__all__ = ["Claim", "View", "words"]


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that we hold. Times are seconds of the monotonic clock, from *before* it was asked for."""

    held: HeldLease
    asked_at: float

    @property
    def expires_at(self) -> float:
        """From then on another machine may hold the subnet."""
        return self.asked_at + TTL

    def renew_at(self, margin: int) -> float:
        """When to renew it, `margin` minutes before it runs out."""
        return self.expires_at - margin * 60

    def lost(self, event: Put | Gone) -> str:
        """Why this event means that the lease is not ours any more; empty if it does not.

        Events older than our own write are history; a newer write that names our address is still ours.
        """
        ours = self.held
        match event:
            case Gone(subnet, revision) if subnet == ours.lease.subnet and revision > ours.revision:
                return "its key was deleted or has expired"
            case Put(held) if held.lease.subnet == ours.lease.subnet and held.revision > ours.revision:
                if held.lease.attrs.public_ip != ours.lease.attrs.public_ip:
                    return f"{held.lease.attrs.public_ip} has written its key"
        return ""

    def missing_from(self, snapshot: Snapshot) -> str:
        """Why a list of all leases shows that ours is lost; empty if it does not."""
        found = snapshot.leases.get(self.held.lease.subnet)
        if found is None:
            return "its key is gone"
        return self.lost(Put(found))


@dataclass(slots=True)
class View:
    """The other machines' leases, as far as we know them. Ours is never among them."""

    leases: dict[IPv4Network, Lease] = field(default_factory=dict)

    def reset(self, snapshot: Mapping[IPv4Network, HeldLease], own: IPv4Network) -> tuple[Event, ...]:
        """Take over a list of all leases; what changed by it."""
        now = {subnet: held.lease for subnet, held in snapshot.items() if subnet != own}
        events = diff(self.leases, now)
        self.leases = now
        return events

    def apply(self, event: Put | Gone, own: IPv4Network) -> tuple[Event, ...]:
        """Take over one change; what changed by it."""
        now = dict(self.leases)
        match event:
            case Put(held) if held.lease.subnet != own:
                now[held.lease.subnet] = held.lease
            case Gone(subnet, _):
                now.pop(subnet, None)
        events = diff(self.leases, now)
        self.leases = now
        return events


def words(event: Event) -> str:
    """An event in flannel's words."""
    match event:
        case Added(lease):
            return f"Subnet added: {lease.subnet}"
        case Removed(lease):
            return f"Subnet removed: {lease.subnet}"
