"""A machine, or a kernel, that is slow: our own lease is looked after between all that takes long."""

from collections.abc import Callable, Sequence

import pytest

from flanneld_py.daemon.event_queue import BATCH
from flanneld_py.lease.model import PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.registry import LeaseAdded, LeaseChanges
from tests.flanneld_py.daemon_world import HOUR, THEIR_IP, World
from tests.flanneld_py.made import attrs, held, subnet

OWN = subnet("10.2.35.0/24")
CROWD = 6 * BATCH


class Slow:
    """The world's backend takes a second for each change; what it was asked, and when it let go."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        self.released_at: list[float] = []
        self.meanwhile: Callable[[], object] = lambda: None
        change, release = world.backend.change, world.backend.release

        def slowly(events: Sequence[PeerEvent]) -> None:
            change(events)
            self.sizes.append(len(events))
            self.meanwhile()
            world.script.second += 1

        def released() -> None:
            self.released_at.append(world.script.second)
            release()

        monkeypatch.setattr(world.backend, "change", slowly)
        monkeypatch.setattr(world.backend, "release", released)


@pytest.fixture
def slow(world, monkeypatch):
    return Slow(world, monkeypatch)


def peers_come(world: World, count: int) -> None:
    """One after another, at once."""
    for number in range(count):
        world.etcd.put(subnet(f"10.2.{50 + number}.0/24"), attrs(f"192.168.9.{number + 1}"))


def crowd(world: World) -> tuple[LeaseAdded, ...]:
    """What more peers write than a few batches take, of a network that has room for them."""
    world.etcd.config = b'{ "Network": "10.0.0.0/8", "SubnetLen": 24, "SubnetMin": "10.2.1.0" }'
    numbers = [divmod(number, 250) for number in range(CROWD)]
    return tuple(
        LeaseAdded(held(f"10.{3 + high}.{low}.0/24", f"172.16.{high}.{low + 1}")) for high, low in numbers
    )


def steal(world: World) -> None:
    world.etcd.put(OWN, attrs(THEIR_IP))


def test_an_overwritten_key_is_given_up_before_the_peers_that_came_earlier(world, slow):
    def crowd_and_thief() -> None:
        peers_come(world, 100)
        steal(world)

    world.script.at(10, crowd_and_thief)
    world.script.at(300, lambda: None)
    world.run()
    assert slow.released_at == [10]
    assert world.etcd.held(OWN).lease.attrs == attrs(THEIR_IP)


def test_an_overwritten_key_is_given_up_in_the_middle_of_many_changes(world, slow):
    many = crowd(world)
    slow.meanwhile = lambda: steal(world) if len(slow.sizes) == 3 else None
    world.script.at(10, lambda: world.registry._deliver(LeaseChanges(many)))
    world.script.at(300, lambda: None)
    world.run()
    assert slow.released_at == [10 + 3]
    assert slow.sizes[:3] == [BATCH] * 3
    assert sum(slow.sizes) < CROWD


@pytest.mark.usefixtures("days")
def test_a_lease_that_runs_out_in_the_middle_of_many_changes_is_given_up(world, slow):
    many = crowd(world)

    def outage() -> None:
        world.etcd.read_only = True
        world.script.second = world.status.expires_at - 2.5
        world.registry._deliver(LeaseChanges(many))

    world.script.at(HOUR, outage)
    world.script.at(25 * HOUR, lambda: None)
    world.run()
    assert slow.sizes[:3] == [BATCH] * 3
    assert slow.released_at[0] == pytest.approx(24 * HOUR - 30 + 0.5, abs=0.1)


def test_how_long_changes_wait_can_be_seen_while_they_do_and_is_told(world, slow, caplog):
    seen = []
    slow.meanwhile = lambda: seen.append(
        (world.status.lag(world.script.second), world.status.degraded(world.script.second))
    )
    many = crowd(world)

    def ten_messages() -> None:
        for first in range(0, 1500, 150):  # any two are more than a batch
            world.registry._deliver(LeaseChanges(many[first : first + 150]))

    world.script.at(10, ten_messages)
    world.script.at(60, lambda: None)
    world.run()
    assert [lag for lag, _ in seen] == list(range(10))
    assert [bool(words) for _, words in seen] == [False] * 3 + [True] * 7
    assert seen[3][1].startswith("lease changes have waited 3.0 s to be applied")
    assert world.status.lag(world.script.second) == 10
    assert world.status.degraded(world.script.second) == ""
    told = [record.getMessage() for record in caplog.records if "change waited" in record.getMessage()]
    assert told[0] == (
        "A lease change waited 3.0 s before it was applied: this machine cannot keep up with lease changes"
    )
    assert len(told) < 5


def test_statistics_are_read_when_they_are_asked_for_and_at_no_other_time(world, monkeypatch):
    asked = []

    def statistics() -> Statistics:
        asked.append(world.script.second)
        return Statistics(repairs=7)

    monkeypatch.setattr(world.backend, "statistics", statistics)
    world.script.at(10, lambda: peers_come(world, 20))
    world.script.at(100, lambda: steal(world))
    world.script.at(200, lambda: asked.append(world.status.statistics().repairs))
    world.script.at(300, lambda: None)
    world.run()
    assert asked == [200, 7]
