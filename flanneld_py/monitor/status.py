"""What the daemon tells of itself while it runs: its own thread writes, others read, and ask for the rest."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from flanneld_py.lease.admission import Refusals
from flanneld_py.lease.model import Lease
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.subnet import Subnet

__all__ = ["BEHIND", "NetworkStatus", "ServerStatus", "listed", "waiting_on"]

K = TypeVar("K")
V = TypeVar("V")

BEHIND: Final = 2.0
"""Seconds that a change of a lease may wait to be in force until that is told."""


@dataclass(slots=True)
class NetworkStatus:
    """One network's state. Each field is replaced as a whole, so readers need no lock.

    Times are seconds of `clock.now`. `doing` says in words what is waited for, empty once a lease is held;
    `trouble` what is wrong with the registry, empty while it answers; `lacking` what is wrong with this
    machine and could not be put right; `unfenced` what is in force of a lost lease, and why. `subnet` is None
    unless packets are carried. `repairs` counts devices and files that were put right. `heard_at` is when the
    registry last answered or told something, `last_lag` how many seconds the last change waited until it was
    in force.

    What costs something is not written here again and again, but asked for, by whoever wants to know:
    `statistics`, which may raise `OSError`, all `peers`, and since when the `oldest` change waits that is not
    in force yet. Each is for any thread, and holds nothing up.
    """

    name: str = ""
    doing: str = "starting"
    trouble: str = ""
    lacking: str = ""
    unfenced: str = ""
    subnet: Subnet | None = None
    expires_at: float = -math.inf
    mtu: int = 0
    backend: str = ""
    heard_at: float = -math.inf
    acquired: int = 0
    renewed: int = 0
    renewal_failures: int = 0
    lost: int = 0
    watches: int = 0
    last_lag: float = 0.0
    filter_repairs: int = 0
    refusals: Refusals = field(default_factory=Refusals)
    repairs: int = 0
    statistics: Callable[[], Statistics] = Statistics
    peers: Callable[[], tuple[Lease, ...]] = tuple
    oldest: Callable[[], float | None] = lambda: None

    @property
    def ready(self) -> bool:
        """Whether a lease is held and this machine acts on it; also while the registry is away."""
        return self.subnet is not None and not self.lacking

    def lag(self, now: float) -> float:
        """Seconds that the oldest change of a lease waits; where none does, that the last one has waited."""
        oldest = self.oldest()
        return self.last_lag if oldest is None else max(0.0, now - oldest)

    def degraded(self, now: float) -> str:
        """What is wrong though packets are carried; empty if nothing is."""
        oldest = self.oldest()
        waited = 0.0 if oldest is None else now - oldest
        late = (
            f"changes of leases have waited {waited:.1f} s to be in force: this machine is too slow for them"
        )
        return "; ".join(filter(None, (self.trouble, late if waited > BEHIND else "", self.unfenced)))


class ServerStatus(NetworkStatus):
    """Likewise of a network that is served to others: it carries no packets itself."""

    __slots__ = ()

    @property
    def ready(self) -> bool:
        """Always: it answers, if only that the registry is away."""
        return True


@contextmanager
def waiting_on(statuses: Sequence[NetworkStatus]) -> Iterator[Callable[[str], None]]:
    """What tells on these boards what is waited for; afterwards they say again what they said before."""
    before = [status.doing for status in statuses]

    def doing(words: str) -> None:
        for status, earlier in zip(statuses, before, strict=True):
            status.doing = words or earlier

    try:
        yield doing
    finally:
        doing("")


def listed(changing: Mapping[K, V]) -> tuple[V, ...]:
    """The values of a dictionary that another thread changes, which is not to wait for that."""
    while True:
        try:
            return tuple(changing.values())
        except RuntimeError:  # it was changed in the middle
            continue
