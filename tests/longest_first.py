"""The order in which workers take files of tests: those that take longest first.

A file goes to one worker as a whole. A long one that is begun last is what the other workers wait for, and
the longest are those that build labs, which have few tests: neither their names nor their number tells. So
each run leaves behind, in pytest's cache, how long every test has taken; a test that has not run yet is taken
to be as long as its kind usually is.

Files whose tests have the same lab, or the same process to fork, are taken by one worker, one after the
other, so that it is made once.

The kinds go side by side, each longest first and all at their ends at the same time: labs that boot
at once are in each other's way, and later all workers would wait at once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import pytest

__all__ = ["Case", "Seconds", "longest_first", "unit"]

TOGETHER: Sequence[Sequence[str]] = (
    # Those that look come before those that break it and make it right again.
    (
        "tests/cluster/test_cluster.py",
        "tests/cluster/test_bundle.py",
        "tests/cluster/test_capture.py",
        "tests/cluster/test_daily_work.py",
        "tests/cluster/test_impairments.py",
    ),
    (
        "tests/cluster/test_doctor.py",
        "tests/cluster/test_trace.py",
        "tests/cluster/test_serve.py",
    ),
    (
        "tests/cluster/test_stories.py",
        "tests/cluster/test_faults.py",
    ),
    (
        "tests/lab/test_pytest_plugin.py",
        "tests/lab/test_bundle_fixtures.py",
    ),
)
"""Files that have the tutorial's cluster from `lab`, in three parts: none is what all others wait for. And
those whose tests fork programs from one process, which has to load what they have in common."""

USUALLY: Mapping[str, float] = {"cluster": 20.0, "kernel": 2.0}
"""Seconds that a test with such a marker takes, where no run has told."""

OTHERWISE = 0.05
"""The same of a test without."""

CACHED = "overlay-lab/seconds"
"""Where the cache has them, by the tests' identifiers."""


PLACES: Mapping[str, tuple[str, int]] = {
    file: (files[0], place) for files in TOGETHER for place, file in enumerate(files)
}


def unit(file: str) -> str:
    """What a worker takes as a whole: the file, or the first of those that it goes together with."""
    return PLACES.get(file, (file, 0))[0]


@dataclass(frozen=True)
class Case:
    """What the order depends on."""

    identifier: str
    file: str
    markers: Collection[str]

    @property
    def kind(self) -> str:
        """What it needs most: labs boot, and keep the processors busy; kernel tests wait for daemons."""
        return next((marker for marker in USUALLY if marker in self.markers), "")

    def seconds(self, known: Mapping[str, float]) -> float:
        """How long it takes, as far as anybody can tell."""
        usually = max((USUALLY.get(marker, 0.0) for marker in self.markers), default=0.0)
        return known.get(self.identifier, usually or OTHERWISE)


def longest_first(tests: Sequence[Case], known: Mapping[str, float]) -> list[int]:
    """The tests' places in the order that they are to run in; those of a file stay as they are.

    A unit's place is the part of its kind's time that lies before it.
    """
    whole: dict[str, float] = defaultdict(float)
    kinds: dict[str, str] = {}
    for test in tests:
        whole[unit(test.file)] += test.seconds(known)
        kinds.setdefault(unit(test.file), test.kind)
    before: dict[str, float] = {}
    for kind in set(kinds.values()):
        units = sorted((name for name in whole if kinds[name] == kind), key=lambda name: (-whole[name], name))
        ends = list(accumulate(whole[name] for name in units))
        before |= {name: (end - whole[name]) / ends[-1] for name, end in zip(units, ends, strict=True)}

    def when(place: int) -> tuple[float, float, str, int]:
        file = tests[place].file
        name, within = PLACES.get(file, (file, 0))
        return before[name], -whole[name], name, within

    return sorted(range(len(tests)), key=when)


class Seconds:
    """What this run measures, on top of what is known of those before."""

    def __init__(self, cache: pytest.Cache) -> None:
        self._cache = cache
        self._measured: dict[str, float] = defaultdict(float)
        self.known: dict[str, float] = cache.get(CACHED, {})

    def pytest_configure_node(self, node: Any) -> None:
        """A worker begins: all have to put the same order to the same use."""
        node.workerinput[CACHED] = self.known

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One of the three parts of a test has ended."""
        self._measured[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Leave what was measured to the next run."""
        rounded = {name: round(seconds, 3) for name, seconds in self._measured.items()}
        self._cache.set(CACHED, self.known | rounded)


def pytest_configure(config: pytest.Config) -> None:
    """Only who distributes tests measures; `-p no:cacheprovider` leaves each run to itself."""
    if config.getoption("tx", None) and config.pluginmanager.hasplugin("cacheprovider"):
        assert config.cache is not None
        config.pluginmanager.register(Seconds(config.cache))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out units where files are handed out (`--dist=loadfile`)."""
    from xdist.scheduler import LoadFileScheduling

    class InUnits(LoadFileScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return unit(super()._split_scope(nodeid))

    return InUnits(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order a worker's tests; where there is one process alone, the order matters to nobody."""
    given: Mapping[str, Any] | None = getattr(config, "workerinput", None)
    if given is not None:
        order = longest_first(list(_tests(items)), given.get(CACHED, {}))
        items[:] = [items[place] for place in order]


def _tests(items: Sequence[pytest.Item]) -> Iterator[Case]:
    for item in items:
        markers = frozenset(marker.name for marker in item.iter_markers())
        yield Case(item.nodeid, item.nodeid.partition("::")[0], markers)
