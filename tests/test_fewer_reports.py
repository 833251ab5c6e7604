"""Of a run with workers everything is told that a run without would tell."""

from pathlib import Path

import pytest

from tests.fewer_reports import SHORT, is_of_use
from tests.forking import run_module

ROOT = Path(__file__).parents[1]

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise ValueError("the setup")

@pytest.fixture
def breaking():
    yield
    raise ValueError("the teardown")

def test_good(): pass
def test_bad(): assert False
def test_without_a_setup(broken): pass
def test_with_a_bad_end(breaking): pass
@pytest.mark.skip(reason="so")
def test_skipped(): pass
@pytest.mark.xfail
def test_expected(): assert False
"""


def report(when: str, outcome: str = "passed", duration: float = 0.0) -> dict[str, object]:
    return {"data": {"when": when, "outcome": outcome, "duration": duration}}


@pytest.mark.parametrize(
    "told",
    [report("call"), report("setup", "failed"), report("teardown", "failed"), report("setup", "skipped"),
     report("setup", duration=SHORT)],
)  # fmt: skip
def test_what_somebody_reads_or_counts_is_told(told):
    assert is_of_use("testreport", told)


def test_that_all_is_well_before_and_after_a_test_is_not():
    assert not is_of_use("testreport", report("setup"))
    assert not is_of_use("testreport", report("teardown"))
    assert not is_of_use("logstart", {"nodeid": "x"})


def test_every_outcome_is_told_by_workers_as_without_them(tmp_path):
    (tmp_path / "conftest.py").write_text("from tests.fewer_reports import pytest_sessionstart\n")
    (tmp_path / "test_all.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    told = [
        run_module(
            "pytest", ["-q", "-p", "no:cacheprovider", "-p", "no:warnings", *workers], cwd=tmp_path
        ).stdout
        for workers in (["-n", "1"], [])
    ]
    assert [text.splitlines()[-1].rpartition(" in ")[0].strip("= ") for text in told] == [
        "1 failed, 2 passed, 1 skipped, 1 xfailed, 2 errors"
    ] * 2
