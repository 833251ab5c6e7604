import threading
import time
from collections.abc import Iterator

import pytest

from lab.wait import Cancelled, NotYet, TimedOut, passing, until


def test_the_first_answer_that_is_not_notyet_is_returned():
    answers = iter([NotYet("nothing"), NotYet("a little"), "all"])
    assert until(lambda: next(answers), what="all of it", timeout=5, interval=0.001) == "all"


def test_a_time_out_names_the_condition_and_what_was_seen_last():
    with pytest.raises(TimedOut, match=r"waited 0 s for the moon; last seen: clouds"):
        until(lambda: NotYet("clouds"), what="the moon", timeout=0)


def test_a_probe_that_took_all_of_the_time_is_asked_once_more():
    answers: Iterator[str | NotYet] = iter([NotYet("clouds"), "the moon"])

    def probe() -> str | NotYet:
        threading.Event().wait(0.02)
        return next(answers)

    assert until(probe, what="the moon", timeout=0.01) == "the moon"


def test_a_slow_probe_takes_no_more_than_half_of_the_time():
    took: list[float] = []

    def probe() -> NotYet:
        began = time.monotonic()
        threading.Event().wait(0.05)
        took.append(time.monotonic() - began)
        return NotYet("clouds")

    began = time.monotonic()
    with pytest.raises(TimedOut):
        until(probe, what="the moon", timeout=0.5, interval=0.001)
    assert sum(took[:-1]) <= (time.monotonic() - began) / 2  # the last one is not rested for


def test_the_probe_is_asked_once_even_without_any_time():
    assert until(lambda: "there", what="it", timeout=0) == "there"


def test_false_and_none_are_answers():
    assert until(lambda: False, what="an answer", timeout=0) is False
    assert until(lambda: None, what="an answer", timeout=0) is None


def test_a_wait_that_is_called_off_ends_at_once():
    cancel = threading.Event()

    def probe() -> NotYet:
        cancel.set()
        return NotYet("nothing")

    with pytest.raises(Cancelled, match="the moon"):
        until(probe, what="the moon", timeout=600, interval=600, cancel=cancel)


def test_an_error_of_the_probe_is_not_swallowed():
    def probe() -> NotYet:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        until(probe, what="it", timeout=5)


def test_time_that_is_to_pass_is_over_at_once_when_it_is_called_off():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="600 s to pass"):
        passing(600, cancel)
    passing(0, cancel)
