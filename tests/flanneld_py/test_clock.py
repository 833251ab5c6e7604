"""Waiting, as the daemon does it."""

from flanneld_py.runtime.clock import Time


def test_those_who_wait_for_the_same_come_at_different_times_and_none_later_than_it_would():
    waited = [Time().spread(2.0) for _ in range(200)]
    assert all(1.0 <= seconds <= 2.0 for seconds in waited)
    parts = {int(10 * seconds) for seconds in waited}
    assert len(parts) == 10  # of the second in which they come, none is without one
