"""What the daemon tells of itself while it runs: its own thread writes, others read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from flanneld_py.admission import Refusals
from flanneld_py.backend import Statistics
from flanneld_py.lease import Lease
from flanneld_py.subnet import Subnet

__all__ = ["Board", "ServerBoard"]


@dataclass(slots=True)
class Board:
    """One network's state. Each field is replaced as a whole, so readers need no lock.

    Times are seconds of `clock.now`. `doing` says in words what is waited for, empty once a lease is held;
    `trouble` what is wrong with the registry, empty while it answers. `subnet` is None unless packets are
    carried. `heard_at` is when the registry last answered or told
    something, `watch_lag` how many seconds the last change waited until it was in force.
    """

    name: str = ""
    doing: str = "starting"
    trouble: str = ""
    subnet: Subnet | None = None
    expires_at: float = -math.inf
    mtu: int = 0
    backend: str = ""
    heard_at: float = -math.inf
    peers: Mapping[Subnet, Lease] = field(default_factory=dict)
    statistics: Statistics = field(default_factory=Statistics)
    acquired: int = 0
    renewed: int = 0
    renewal_failures: int = 0
    lost: int = 0
    watches: int = 0
    watch_lag: float = 0.0
    filter_repairs: int = 0
    refusals: Refusals = field(default_factory=Refusals)

    @property
    def ready(self) -> bool:
        """Whether a lease is held and acted on; also while the registry is away."""
        return self.subnet is not None


class ServerBoard(Board):
    """Likewise of a network that is served to others: it carries no packets itself."""

    __slots__ = ()

    @property
    def ready(self) -> bool:
        """Always: it answers, if only that the registry is away."""
        return True
