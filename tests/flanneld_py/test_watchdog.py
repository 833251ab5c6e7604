"""When a watched endpoint is asked whether it still answers, and how attempts follow each other."""

from flanneld_py.registry.watchdog import LONGEST_REST, PROBE, PROBE_ANYWAY, Watchdog
from flanneld_py.runtime.backoff import FIRST_DELAY


def test_an_endpoint_is_asked_once_its_watch_has_been_silent():
    watchdog = Watchdog(100)
    watchdog.probed(100)
    watchdog.heard(101)
    assert watchdog.time_left(101) == PROBE
    assert not watchdog.must_probe(100.9 + PROBE, idle=True)
    assert watchdog.must_probe(101 + PROBE, idle=True)


def test_what_waits_to_be_taken_is_no_silence():
    watchdog = Watchdog(100)
    watchdog.probed(100)
    assert watchdog.time_left(100 + 2 * PROBE) == 0
    assert not watchdog.must_probe(100 + 2 * PROBE, idle=False)


def test_an_endpoint_whose_watch_is_never_silent_is_asked_from_time_to_time():
    watchdog = Watchdog(100)
    watchdog.probed(100)
    watchdog.heard(100 + PROBE_ANYWAY)
    assert watchdog.must_probe(100 + PROBE_ANYWAY, idle=False)
    watchdog.probed(100 + PROBE_ANYWAY)
    assert not watchdog.must_probe(100.1 + PROBE_ANYWAY, idle=False)


def test_watches_that_break_at_once_are_begun_at_growing_intervals():
    watchdog, delays = Watchdog(100), []
    for _ in range(3):
        watchdog.begun(100)
        delays.append(watchdog.ended(100 + PROBE / 2).delay())
    assert delays == [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY]


def test_an_attempt_that_took_long_and_failed_is_no_watch_that_lasted():
    watchdog = Watchdog(100)
    assert watchdog.ended(100 + 10 * PROBE).delay() == FIRST_DELAY
    assert watchdog.ended(100 + 20 * PROBE).delay() == 2 * FIRST_DELAY


def test_after_a_watch_that_lasted_the_next_attempt_comes_quickly():
    watchdog = Watchdog(100)
    for _ in range(3):
        watchdog.ended(100).delay()
    watchdog.begun(100)
    assert watchdog.ended(100.1 + PROBE).delay() == FIRST_DELAY


def test_after_a_list_that_took_long_the_next_one_has_to_wait_where_the_watch_ended_soon():
    watchdog = Watchdog(100)
    watchdog.begun(100, took=2.0)
    assert watchdog.rest(104, 0.05) == 14  # nine times as long as the list took, since it ended
    assert watchdog.rest(118, 0.05) == 0.05
    watchdog.begun(200, took=60.0)
    assert watchdog.rest(200, 0.05) == LONGEST_REST
    watchdog.begun(300, took=0.001)
    assert watchdog.rest(300, 0.05) == 0.05


def test_a_list_that_failed_keeps_nobody_from_trying_again():
    watchdog = Watchdog(100)
    watchdog.ended(160)
    assert watchdog.rest(160, 2.0) == 2.0
