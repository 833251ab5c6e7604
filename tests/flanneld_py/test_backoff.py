from itertools import pairwise

from flanneld_py.runtime.backoff import Backoff


def test_delays_begin_short_and_grow_to_two_seconds():
    backoff = Backoff()
    delays = [backoff.delay() for _ in range(10)]
    assert delays[0] <= 0.1
    assert delays == sorted(delays)
    assert delays[-1] == 2.0


def test_a_failure_is_said_at_once_and_then_at_growing_intervals():
    backoff = Backoff()
    said = [now for now in range(3600) if backoff.worth_saying("no", float(now))]
    assert said[0] == 0
    intervals = [later - earlier for earlier, later in pairwise(said)]
    assert intervals == sorted(intervals)
    assert intervals[-1] == 300


def test_another_failure_is_said_at_once():
    backoff = Backoff()
    assert backoff.worth_saying("no etcd", 0.0)
    assert not backoff.worth_saying("no etcd", 0.1)
    assert backoff.worth_saying("no config", 0.2)


def test_two_failures_that_take_turns_are_not_said_more_often_than_each_alone():
    backoff = Backoff()
    turns = ["etcd does not answer", "the watch has ended"] * 1800
    said = [kind for now, kind in enumerate(turns) if backoff.worth_saying(kind, float(now))]
    alone = Backoff()
    assert said.count(turns[0]) == sum(alone.worth_saying(turns[0], float(now)) for now in range(0, 3600, 2))
