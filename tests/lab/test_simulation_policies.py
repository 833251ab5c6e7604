"""What the simulation has copied of flanneld's policies is what flanneld does."""

from random import Random
from typing import Any

import pytest

from flanneld_py.daemon import event_queue, lease_loop, network, reconcile
from flanneld_py.registry import LeaseChanges, deadline, watchdog
from flanneld_py.registry.etcd import client
from flanneld_py.runtime import backoff
from flanneld_py.runtime.clock import Time
from lab.scale.simulation import policies
from lab.scale.simulation.daemon import Policies
from lab.scale.simulation.world import World, simulate
from tests.lab.simulated import COSTS

pytestmark = pytest.mark.slow  # a tenth of a second each, and they are many


@pytest.mark.parametrize(
    ("home", "names"),
    [
        (backoff, ["FIRST_DELAY", "LONGEST_DELAY"]),
        (event_queue, ["BATCH", "FIRST_HOLD", "LONGEST_HOLD", "SHORTEST_WAIT"]),
        (watchdog, ["PROBE", "PROBE_ANYWAY", "LISTS_SHARE", "LONGEST_REST"]),
        (client, ["TIMEOUT"]),
        (deadline, ["LONGEST"]),
        (network, ["LONG"]),
    ],
)
def test_a_number_is_the_daemons_own(home, names):
    for name in names:
        assert getattr(policies, name) == getattr(home, name), name


def test_the_intervals_of_looks_and_comparisons_are_the_daemons_own():
    assert (policies.RELOOK, policies.CHECK) == (reconcile.DEVICE_INTERVAL, reconcile.FULL_INTERVAL)
    assert policies.RELOOK == lease_loop.TENDING


def test_a_delay_is_spread_as_the_daemon_does():
    spread = [Time().spread(1.0) for _ in range(1000)]
    assert policies.SPREAD <= min(spread) < policies.SPREAD + 0.1
    assert 0.9 < max(spread) <= 1.0


class Queued:
    """The daemon's own queue, asked what the simulation asks: how long a burst is held back."""

    def __init__(self) -> None:
        self._now = 0.0
        self._queue = event_queue.EventQueue(lambda: self._now)
        self._arrived = self._queue.begin(lambda _: False)

    def held(self, now: float) -> float:
        self._now = now
        return self._queue.held()

    def done(self, now: float, taken_at: float, *, waiting: bool) -> None:
        self._now = taken_at
        self._arrived(LeaseChanges(()))
        self._now = now
        assert self._queue.get_nowait() == LeaseChanges(())
        if waiting:
            self._arrived(LeaseChanges(()))
        self._queue.done()
        if waiting:
            assert self._queue.get_nowait() == LeaseChanges(())


@pytest.mark.parametrize("seed", range(3))
def test_a_cluster_with_the_daemons_own_classes_does_exactly_the_same(seed):
    theirs: dict[str, Any] = {
        "backoff": backoff.Backoff,
        "watchdog": watchdog.Watchdog,
        "holding": Queued,
        "deadline": deadline.Deadline,
    }
    own = Policies(**theirs)

    def outcome(rules):
        world = World(16, COSTS, Random(seed).random, policies=rules)
        return list(simulate(world, more=[lambda: world.churn(2.0, 5.0), lambda: world.partition(0.4, 15.0)]))

    assert outcome(own) == outcome(Policies())
