"""The daemon while etcd is away, or the machine itself was: what goes on meanwhile, and for how long."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest

from flanneld_py.lease.model import LeaseAttrs, StoredLease
from flanneld_py.registry import RegistryUnavailable, Snapshot, WatchMessage
from tests.flanneld_py.daemon_world import HOUR, OUR_IP, THEIR_IP, THEIRS, Stop
from tests.flanneld_py.made import attrs, subnet
from tests.flanneld_py.memory_registry import MemoryRegistry

MINUTE = 60.0


def test_an_outage_shorter_than_the_lease_changes_nothing_for_the_packets(world):
    world.etcd.put(THEIRS, attrs(THEIR_IP))

    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    def recovery() -> None:
        world.etcd.reachable = True

    world.script.at(10, outage)
    world.script.at(70, recovery)
    world.script.at(80, lambda: None)
    world.run()
    assert "release" not in world.backend.calls
    assert set(world.backend.peers) == {THEIRS}


def test_an_outage_is_told_once_and_at_growing_intervals(world, caplog):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    world.script.at(10, outage)
    world.script.at(70, lambda: None)
    world.run()
    told = [record for record in caplog.records if "no route" in record.getMessage()]
    assert 1 <= len(told) <= 5


@pytest.mark.usefixtures("days")
def test_a_lease_that_could_not_be_renewed_in_time_is_not_used_any_longer(world):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    seen = []
    world.script.at(HOUR, outage)
    world.script.at(23.9 * HOUR, lambda: seen.append("release" in world.backend.calls))
    world.script.at(24.1 * HOUR, lambda: seen.append("release" in world.backend.calls))
    world.run()
    assert seen == [False, True]


def test_a_theft_during_an_outage_is_noticed_when_etcd_is_back(world):
    own = subnet("10.2.35.0/24")

    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()

    def recovery() -> None:
        world.etcd.put(own, attrs(THEIR_IP))
        world.etcd.reachable = True

    world.script.at(10, outage)
    world.script.at(20, recovery)
    world.script.at(30, lambda: None)
    world.run()
    assert world.holders()[str(own)] == THEIR_IP
    assert "release" in world.backend.calls


def test_a_renewal_that_fails_is_told_and_tried_again_until_it_works(world, caplog):
    own = subnet("10.2.35.0/24")
    revisions = []

    def full() -> None:
        world.etcd.read_only = True
        revisions.append(world.etcd.held(own).revision)

    def space() -> None:
        world.etcd.read_only = False

    world.script.at(4 * MINUTE, full)
    world.script.at(16 * MINUTE, space)
    world.script.at(20 * MINUTE, lambda: revisions.append(world.etcd.held(own).revision))
    world.script.at(40 * MINUTE, lambda: None)
    world.run(subnet_lease_renew_margin=24 * 60 - 10)
    before, after = revisions
    assert before < after
    assert "release" not in world.backend.calls
    told = [record for record in caplog.records if "Error renewing lease" in record.getMessage()]
    # Six minutes of failure, a try every ten seconds.
    assert 30 <= len(told) <= 40


def test_a_renewal_whose_answer_never_came_is_recognised_as_ours(world):
    own = subnet("10.2.35.0/24")
    real = MemoryRegistry.renew
    deaf = True

    class Deaf(MemoryRegistry):
        def renew(self, held: StoredLease, attrs: LeaseAttrs) -> int | None:
            nonlocal deaf
            answer = real(self, held, attrs)
            if deaf:
                deaf = False
                raise RegistryUnavailable("http://192.0.2.1:2379: deadline exceeded")
            return answer

    world.registry = Deaf(world.etcd)
    world.script.at(15 * MINUTE, lambda: None)
    world.script.at(25 * MINUTE, lambda: None)
    world.run(subnet_lease_renew_margin=24 * 60 - 10)
    assert not deaf
    assert "release" not in world.backend.calls
    assert world.holders() == {str(own): OUR_IP}


def test_a_watch_that_breaks_as_soon_as_it_is_begun_is_not_begun_anew_without_pause(world):
    begun = 0

    class Brittle(MemoryRegistry):
        def watch(self, revision: int, deliver: Callable[[WatchMessage], None]) -> None:
            nonlocal begun
            begun += 1
            super().watch(revision, deliver)
            world.etcd.break_watches()

    world.registry = Brittle(world.etcd)
    world.script.at(60, lambda: None)
    world.run()
    # Delays grow to two seconds.
    assert begun < 45


def test_what_happens_while_no_lease_can_be_had_takes_no_memory(world):
    # Three subnets, of which two are others' for ever, and ours is made one of them.
    world.etcd.config = (
        b'{ "Network": "10.2.0.0/16", "SubnetMin": "10.2.35.0", "SubnetMax": "10.2.37.0",'
        b' "Backend": { "Type": "udp" } }'
    )
    world.picked = iter([0])
    for taken in ("10.2.36.0/24", "10.2.37.0/24"):
        world.etcd.put(subnet(taken), attrs(THEIR_IP), ttl=math.inf)
    for second in range(100):
        world.script.at(
            10 + second, lambda: world.etcd.put(subnet("10.2.35.0/24"), attrs(THEIR_IP), ttl=math.inf)
        )
    world.script.at(120, lambda: None)
    daemon = world.daemon()
    with pytest.raises(Stop):
        daemon.run()
    assert world.status.lost == 1
    assert daemon._event_queue.empty()


@pytest.mark.usefixtures("days")
def test_a_machine_that_was_suspended_for_longer_than_its_lease_gives_that_up_first(world, monkeypatch):
    woken = []

    def wake() -> None:
        # As after a suspension: the clock is far on, and what the watch told is still to be read.
        later = world.script.second + 25 * HOUR
        monkeypatch.setattr(world.script, "now", lambda: later)
        woken.append(len(world.rules.calls))
        world.etcd.put(THEIRS, attrs(THEIR_IP))

    released = world.backend.release

    def release() -> None:
        monkeypatch.undo()
        woken.append(len(world.rules.calls))
        released()

    world.script.at(10, lambda: monkeypatch.setattr(world.backend, "release", release))
    world.script.at(20, wake)
    world.script.at(30, lambda: None)
    world.run()
    before, at_the_release, *_ = woken
    assert at_the_release == before


def test_a_machine_comes_back_at_another_moment_than_others_and_after_delays_that_only_double(
    world, monkeypatch
):
    def outage() -> None:
        world.etcd.reachable = False
        world.etcd.break_watches()
        monkeypatch.setattr(world.script, "spread", lambda seconds: seconds * 0.7)
        monkeypatch.setattr(world.script, "rest", resting)

    def resting(seconds: float) -> None:
        rests.append(seconds)
        rest(seconds)

    rests: list[float] = []
    rest = world.script.rest
    world.script.at(10, outage)
    world.script.at(40, lambda: None)
    world.run()
    assert rests[:8] == pytest.approx([0.7 * delay for delay in (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)])


def test_where_lists_take_long_and_watches_end_soon_most_of_the_time_is_not_spent_on_lists(
    world, monkeypatch
):
    """As on a machine that cannot keep up: each attempt would be the next one's trouble."""
    lists: list[float] = []
    snapshot = world.registry.snapshot

    def slow() -> Snapshot:
        lists.append(world.script.second)
        world.script.second += 2.0
        world.script.at(world.script.second + 3.0, world.etcd.break_watches)
        found: Snapshot = snapshot()
        return found

    def trouble() -> None:
        monkeypatch.setattr(world.registry, "snapshot", slow)
        world.etcd.break_watches()

    world.script.at(10, trouble)
    world.script.at(110, lambda: None)
    world.run()
    waits = [later - earlier - 2.0 for earlier, later in pairwise(lists)]
    assert len(waits) >= 4
    assert all(17.9 <= wait <= 21.0 for wait in waits)
    assert "release" not in world.backend.calls
