"""Files that take longest are the first that workers take."""

from types import SimpleNamespace
from typing import cast

import pytest

from tests.longest_first import TOGETHER, Case, Seconds, longest_first
from tests.sources import ROOT


def many(file: str, number: int, *markers: str) -> list[Case]:
    return [Case(f"{file}::{place}", file, markers) for place in range(number)]


def files(tests: list[Case], **known: float) -> list[str]:
    order = longest_first(tests, {name.replace("__", "::"): seconds for name, seconds in known.items()})
    return list(dict.fromkeys(tests[place].file for place in order))


def test_few_tests_that_build_labs_go_before_many_that_do_not():
    tests = [*many("unit", 300), *many("kernel", 9, "kernel"), *many("cluster", 2, "cluster")]
    assert files(tests) == ["cluster", "kernel", "unit"]


def test_what_a_run_has_measured_counts_more_than_what_is_usual():
    tests = [*many("cluster", 1, "cluster"), *many("kernel", 1, "kernel"), *many("unit", 1)]
    assert files(tests, cluster__0=1.5, unit__0=1.6) == ["kernel", "unit", "cluster"]


def test_labs_and_what_waits_go_side_by_side():
    labs = [test for name in "abc" for test in many(f"lab {name}", 1, "cluster")]
    waits = [test for name in "abcd" for test in many(f"wait {name}", 1, "kernel")]
    assert files([*labs, *waits]) == [*("lab a", "wait a", "wait b", "lab b", "wait c", "lab c", "wait d")]


def test_files_that_have_the_same_lab_follow_each_other_and_count_as_one():
    first, *others = TOGETHER[0]
    tests = [*many(others[-1], 1, "cluster"), *many("long", 2, "cluster"), *many(first, 2, "cluster")]
    assert files(tests, long__0=25.0) == [first, others[-1], "long"]
    assert files(tests, long__0=45.0) == ["long", first, others[-1]]


@pytest.mark.parametrize("file", [file for files in TOGETHER for file in files])
def test_files_that_go_together_are_there(file):
    assert (ROOT / file).exists()


def test_the_tests_of_a_file_keep_their_order():
    tests = [*many("a", 3), *many("b", 5)]
    assert longest_first(tests, {"a::2": 100.0}) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert longest_first(tests, {}) == [3, 4, 5, 6, 7, 0, 1, 2]


class Cache:
    """As pytest's."""

    def __init__(self, known: dict[str, float]) -> None:
        self.known = known

    def get(self, _key: str, _default: object) -> dict[str, float]:
        return self.known

    def set(self, _key: str, value: dict[str, float]) -> None:
        self.known = value


def test_each_run_tells_its_workers_what_is_known_and_the_next_run_what_it_has_measured():
    cache = Cache({"a::0": 3.0, "b::0": 2.0})
    seconds = Seconds(cast(pytest.Cache, cache))
    node = SimpleNamespace(workerinput={})
    seconds.pytest_configure_node(node)
    assert list(node.workerinput.values()) == [{"a::0": 3.0, "b::0": 2.0}]
    for name, duration in (("a::0", 0.25), ("a::0", 0.5), ("c::0", 1.0)):
        seconds.pytest_runtest_logreport(
            cast(pytest.TestReport, SimpleNamespace(nodeid=name, duration=duration))
        )
    seconds.pytest_sessionfinish()
    assert cache.known == {"a::0": 0.75, "b::0": 2.0, "c::0": 1.0}
