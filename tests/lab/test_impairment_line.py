"""The delay line by itself: it does with frames what tc-netem(8) says that sch_netem does."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from lab.faults.impairment import parse_impairment
from lab.faults.impairment.line import CAPACITY, PREFIX, Line

HEAD = bytes(PREFIX)
NUMBER = 5000


def chances(*values: float) -> Callable[[], float]:
    found: Iterator[float] = iter(values)
    return lambda: next(found)


def line(text: str, seed: int = 1) -> Line:
    return Line(parse_impairment(text), random.Random(seed).random)


def frame(number: int) -> bytes:
    return HEAD + bytes(14) + number.to_bytes(4)


def number(data: bytes) -> int:
    return int.from_bytes(data[-4:])


def passed(text: str) -> list[int]:
    """What comes out, in its order, of frames that come in a millisecond apart."""
    carrying, out = line(text), []
    for sent in range(NUMBER):
        out += carrying.due(sent / 1000)
        carrying.take(frame(sent), sent / 1000)
    return [number(data) for data in out + carrying.due(math.inf)]


def within(count: int, probability: float) -> bool:
    """Five standard deviations of the binomial distribution: one run in two million is outside."""
    return abs(count - NUMBER * probability) <= 5 * math.sqrt(NUMBER * probability * (1 - probability))


def test_what_is_delayed_arrives_by_then_and_not_before():
    carrying = line("delay 100ms")
    carrying.take(b"a", 5.0)
    carrying.take(b"b", 5.02)
    assert carrying.wait(5.04) == pytest.approx(0.06)
    assert carrying.due(5.0999) == []
    assert carrying.due(5.1) == [b"a"]
    assert carrying.due(5.3) == [b"b"]
    assert carrying.wait(5.3) is None


def test_frames_of_one_moment_keep_their_order():
    carrying = line("delay 1ms")
    for sent in range(100):
        carrying.take(frame(sent), 1.0)
    assert [number(data) for data in carrying.due(2.0)] == list(range(100))


def test_jitter_is_evenly_distributed_around_the_delay():
    carrying = line("delay 10ms jitter 4ms")
    for sent in range(NUMBER):
        carrying.take(frame(sent), 0.0)
    assert carrying.due(0.006 - 1e-9) == []
    assert within(len(carrying.due(0.008)), 0.25)
    assert within(len(carrying.due(0.010)), 0.25)
    carrying.due(0.014)
    assert carrying.wait(0) is None


def test_as_many_are_lost_as_was_said():
    out = passed("loss 5%")
    assert within(NUMBER - len(out), 0.05)
    assert out == sorted(out)


def test_as_many_arrive_twice_as_was_said():
    counted = Counter(passed("duplicate 2%"))
    assert counted.keys() == set(range(NUMBER))
    assert within(sum(times == 2 for times in counted.values()), 0.02)
    assert max(counted.values()) == 2


def test_what_is_both_doubled_and_lost_arrives_once():
    # netem_enqueue of net/sched/sch_netem.c: ++count, then --count.
    carrying = Line(parse_impairment("loss 5% duplicate 5%"), chances(0.0, 0.0))
    carrying.take(b"a", 0.0)
    assert carrying.due(1.0) == [b"a"]


def test_what_is_reordered_overtakes_what_is_delayed():
    out = passed("delay 10ms reorder 25%")
    assert sorted(out) == list(range(NUMBER))
    overtaken = sum(later < earlier for earlier, later in itertools.pairwise(out))
    assert overtaken > NUMBER / 10
    # Each of them, but for the first ten, overtakes the ten frames of as many milliseconds.
    early = sum(place < sent for place, sent in enumerate(out))
    assert within(early, 0.25)


def test_what_is_corrupted_has_one_other_bit_behind_its_ethernet_header():
    carrying, sent = line("corrupt 100%"), bytes([3]) * (PREFIX + 14 + 60)
    places = set()
    for _ in range(2000):
        carrying.take(sent, 0.0)
        (came,) = carrying.due(0.0)
        assert came[:PREFIX] == HEAD, "nobody is told that its checksum is right"
        assert came[PREFIX : PREFIX + 14] == sent[PREFIX : PREFIX + 14]
        others = int.from_bytes(came[PREFIX:]) ^ int.from_bytes(sent[PREFIX:])
        assert others.bit_count() == 1
        places.add(others.bit_length())
    assert len(places) > 400  # of 480


def test_what_is_shorter_than_a_header_is_not_corrupted():
    carrying = line("corrupt 100%")
    carrying.take(HEAD + bytes(14), 0.0)
    assert carrying.due(0.0) == [HEAD + bytes(14)]


def test_a_full_line_loses_what_comes_and_keeps_what_it_has():
    carrying, large = line("delay 1s"), bytes(1 << 20)
    for _ in range(CAPACITY // len(large) + 3):
        carrying.take(large, 0.0)
    carrying.take(b"x", 0.1)
    assert len(carrying.due(1.0)) == CAPACITY // len(large)
    carrying.take(b"y", 2.0)
    assert carrying.due(3.0) == [b"y"]
