"""What `make lab-test` runs of the tests that need an engine: a sample, `pytest --sample`, of a few minutes.

- Of a test that is done in several ways (backends, families, directions, kinds of harm) one is in the sample.
  Which one follows from the test's name, so that it stays the same and every way is taken by some test.
- Tests marked `thorough` are not: the same once more, for another kind of cluster, of engine or of harm;
  what is seldom met, such as a second daemon on the same machine; what takes thousands of entries; and what
  takes seconds of a processor and is shown by a test in virtual time, too.

`make test-all` runs all, and so does the workflow.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from zlib import crc32

import pytest

__all__ = ["Candidate", "sample"]


NEEDS_ENGINE = frozenset({"kernel", "cluster"})
"""Markers of the tests that a sample is taken of; of all others each is run."""


@dataclass(frozen=True)
class Candidate:
    """What it depends on whether a test is in the sample."""

    identifier: str
    markers: Collection[str]

    @property
    def function(self) -> str:
        """What it is one of the ways of."""
        return self.identifier.partition("[")[0]


def sample(tests: Sequence[Candidate]) -> list[int]:
    """The places of those in it, in their order."""
    ways: dict[str, list[int]] = defaultdict(list)
    for place, test in enumerate(tests):
        if "thorough" not in test.markers:
            ways[test.function if NEEDS_ENGINE & set(test.markers) else test.identifier].append(place)
    return sorted(places[crc32(name.encode()) % len(places)] for name, places in ways.items())


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--sample`."""
    parser.addoption("--sample", action="store_true", help="of tests that need an engine, run a sample")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not in the sample."""
    if not config.getoption("sample"):
        return
    tests = [Candidate(it.nodeid, frozenset(marker.name for marker in it.iter_markers())) for it in items]
    chosen = sample(tests)
    left_out = set(range(len(items))) - set(chosen)
    config.hook.pytest_deselected(items=[items[place] for place in sorted(left_out)])
    items[:] = [items[place] for place in chosen]
