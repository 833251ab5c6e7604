"""The sample has each test that needs an engine in one of its ways, and every way in some test."""

from collections.abc import Sequence

import pytest

from tests.sampling import Candidate, sample

WAYS = ("udp", "vxlan", "host-gw")


def names(*tests: Candidate) -> Sequence[str]:
    return [tests[place].identifier for place in sample(tests)]


def in_all_ways(name: str, *markers: str) -> Sequence[Candidate]:
    return [Candidate(f"{name}[{way}]", markers) for way in WAYS]


@pytest.mark.parametrize("marker", ["kernel", "cluster"])
def test_of_a_test_that_needs_an_engine_one_way_is_in_it_and_every_time_the_same(marker):
    tests = in_all_ways("test_a", marker)
    (chosen,) = names(*tests)
    assert names(*tests, *in_all_ways("test_b", marker))[0] == chosen


def test_every_way_is_in_it_with_some_test():
    tests = [case for number in range(20) for case in in_all_ways(f"test_{number}", "kernel")]
    chosen = names(*tests)
    assert len(chosen) == 20
    assert {name.partition("[")[2] for name in chosen} == {f"{way}]" for way in WAYS}


def test_unit_tests_are_in_it_in_all_their_ways():
    tests = in_all_ways("test_a")
    assert names(*tests) == [test.identifier for test in tests]


def test_what_is_thorough_is_not_in_it():
    *others, last = in_all_ways("test_a", "kernel", "thorough")
    assert names(Candidate("test_b", ["cluster", "thorough"]), *others) == []
    assert names(*others, Candidate(last.identifier, ["kernel"])) == [last.identifier]
