"""Our own lease and everybody's: what a change in the registry means for them.

The decisions are here; the daemon performs them. Nothing here blocks or knows a registry's connections.
"""

from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network

from flanneld_py.allocate import HeldLease
from flanneld_py.lease import Added, Event, Lease, Removed, key
from flanneld_py.registry import TTL, Gone, Put, Snapshot, Spoiled
from flanneld_py.registry import Event as Change

__all__ = ["Claim", "Lost", "View", "words"]


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease is not ours any more."""

    reason: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease that we hold. Times are seconds of the daemon's clock, from *before* it was asked for.

    `spoiled`: what is under our key is no lease, and ours must be written over it.
    """

    held: HeldLease
    asked_at: float
    spoiled: bool = False

    @property
    def subnet(self) -> IPv4Network:
        """Ours."""
        return self.held.lease.subnet

    @property
    def expires_at(self) -> float:
        """From then on another machine may hold the subnet."""
        return self.asked_at + TTL

    def renew_at(self, margin: int) -> float:
        """When to renew it, `margin` minutes before it runs out."""
        return self.asked_at if self.spoiled else self.expires_at - margin * 60

    def after(self, change: Change) -> "Claim | Lost":
        """What this change leaves of it. `Lost` when the key is gone or another machine's.

        A change older than our own write is history. A newer write that names our own address leaves the
        lease ours, at that revision.
        """
        match change:
            case Gone(subnet, revision, name) if self._is_ours(subnet, revision, name):
                return Lost("its key was deleted or has expired")
            case Spoiled(subnet, revision, name) if self._is_ours(subnet, revision, name):
                return replace(self, held=replace(self.held, revision=revision), spoiled=True)
            case Put(held) if self._is_ours(held.lease.subnet, held.revision, held.name):
                holder = held.lease.attrs.public_ip
                if holder != self.held.lease.attrs.public_ip:
                    return Lost(f"{holder} has written its key")
                return replace(self, held=replace(self.held, revision=held.revision), spoiled=False)
        return self

    def after_list(self, snapshot: Snapshot) -> "Claim | Lost":
        """What a list of everything leaves of it.

        Here revisions may be lower than ours, where etcd was restored from a backup.
        """
        changes: list[Change] = [*(Put(held) for held in snapshot.leases), *snapshot.spoiled]
        for change in changes:
            subnet, revision, name = _of(change)
            if (subnet, name) == (self.subnet, ""):
                # Also at our own revision: an etcd that began anew counts from the beginning.
                return replace(self, held=replace(self.held, revision=revision - 1)).after(change)
        return Lost("its key is gone")

    def _is_ours(self, subnet: IPv4Network, revision: int, name: str) -> bool:
        return subnet == self.subnet and name == "" and revision > self.held.revision


def _of(change: Change) -> tuple[IPv4Network, int, str]:
    match change:
        case Put(held):
            return held.lease.subnet, held.revision, held.name
        case Gone(subnet, revision, name) | Spoiled(subnet, revision, name):
            return subnet, revision, name


@dataclass(slots=True)
class View:
    """All leases by the name of their key, as far as we know them."""

    _known: dict[str, Lease] = field(default_factory=dict)

    def peers(self, own: IPv4Network) -> dict[IPv4Network, Lease]:
        """The other machines' leases. Of two names for one subnet flannel's canonical one counts."""
        others = [(name, lease) for name, lease in self._known.items() if lease.subnet != own]
        others.sort(key=lambda item: item[0] == key(item[1].subnet))
        return {lease.subnet: lease for _, lease in others}

    def reset(self, snapshot: Snapshot) -> None:
        """Take over a list of everything."""
        self._known = {held.name or key(held.lease.subnet): held.lease for held in snapshot.leases}

    def apply(self, change: Change) -> None:
        """Take over one change."""
        subnet, _, alias = _of(change)
        name = alias or key(subnet)
        if isinstance(change, Put):
            self._known[name] = change.held.lease
        else:
            self._known.pop(name, None)


def words(event: Event) -> str:
    """An event in flannel's words."""
    match event:
        case Added(lease):
            return f"Subnet added: {lease.subnet}"
        case Removed(lease):
            return f"Subnet removed: {lease.subnet}"
