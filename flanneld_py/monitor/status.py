"""The daemon's status: its own thread writes it, others read it and call the getters for the rest."""

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
"""Seconds that a lease change may wait to be applied before that is reported."""


@dataclass(slots=True)
class NetworkStatus:
    """The status of one network. Each field is replaced as a whole, so readers need no lock.

    Times are seconds of `clock.now`. `doing` says what is being waited for, empty once a lease is held;
    `trouble` what is wrong with the registry, empty while it answers; `lacking` what is wrong with this
    machine and could not be repaired; `unfenced` what of a lost lease is still in place, and why. `subnet` is
    None unless packets are carried. `repairs` counts repairs of devices and files. `heard_at` is the time of
    the registry's last answer or event, `last_lag` the seconds that the last change waited until it was
    applied.

    What is costly to determine is not stored but obtained on demand: `statistics`, which may raise `OSError`,
    all `peers`, and the time since which the `oldest` pending change waits. These may be called from any
    thread and block nothing.
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
        """Whether a lease is held and in effect, which may be so while the registry is unavailable."""
        return self.subnet is not None and not self.lacking

    def lag(self, now: float) -> float:
        """Return the seconds that the oldest pending lease change has waited, or else the last one."""
        oldest = self.oldest()
        return self.last_lag if oldest is None else max(0.0, now - oldest)

    def degraded(self, now: float) -> str:
        """Return what is wrong although packets are carried; empty if nothing is."""
        oldest = self.oldest()
        waited = 0.0 if oldest is None else now - oldest
        late = f"lease changes have waited {waited:.1f} s to be applied: "
        late += "this machine cannot keep up with lease changes"
        return "; ".join(filter(None, (self.trouble, late if waited > BEHIND else "", self.unfenced)))


class ServerStatus(NetworkStatus):
    """The status of a network that is served to other machines; it carries no packets itself."""

    __slots__ = ()

    @property
    def ready(self) -> bool:
        """True: the server answers, even if only that the registry is unavailable."""
        return True


@contextmanager
def waiting_on(statuses: Sequence[NetworkStatus]) -> Iterator[Callable[[str], None]]:
    """Yield a function that sets what these statuses wait for; afterwards they show what they did before."""
    before = [status.doing for status in statuses]

    def doing(words: str) -> None:
        for status, earlier in zip(statuses, before, strict=True):
            status.doing = words or earlier

    try:
        yield doing
    finally:
        doing("")


def listed(changing: Mapping[K, V]) -> tuple[V, ...]:
    """Return the values of a dictionary that another thread modifies, without making that thread wait."""
    while True:
        try:
            return tuple(changing.values())
        except RuntimeError:  # it was modified during iteration
            continue
