"""What the pytest fixtures do when a test that has a lab fails: runs of pytest on a pretended engine."""

import re
import tarfile
from pathlib import Path

import pytest

from tests.lab.pytest_runs import Run


@pytest.mark.parametrize(
    "workers", [[], pytest.param(["-n", "1"], marks=pytest.mark.slow)], ids=["alone", "xdist"]
)
def test_the_bundle_of_a_failed_test_is_named_in_the_summary(tmp_path: Path, workers: list[str]) -> None:
    tests = """
def test_a(lab):
    assert 1 == 2, "no luck"

def test_b(lab):
    pass

def test_c():
    assert 1 == 2
"""
    run = Run(tmp_path, tests, *workers)
    assert list(run.named) == ["test_it.py::test_a"], run.output
    (file,) = (tmp_path / "lab-bundles").iterdir()
    assert run.named["test_it.py::test_a"] == f"lab-bundles/{file.name}"
    assert re.fullmatch(r"test_a-\d{8}T\d{6}Z\.tar\.gz", file.name)
    with tarfile.open(file) as archive:
        why = archive.extractfile(f"{file.name.removesuffix('.tar.gz')}/why.txt")
        assert why is not None
        assert why.read().startswith(b"The test test_a has failed: no luck\n")


def test_a_lab_that_a_test_has_made_or_opened_itself_is_in_a_bundle_too(tmp_path: Path) -> None:
    tests = """
from lab import spec
from lab.pytest_plugin.labs import temporary_lab

def test_made(make_lab):
    make_lab(spec.tutorial())
    assert False

def test_opened(lab_engine):
    with temporary_lab(lab_engine, spec.tutorial()):
        assert False
"""
    run = Run(tmp_path, tests, "--lab-bundles=elsewhere")
    assert sorted(run.named) == ["test_it.py::test_made", "test_it.py::test_opened"], run.output
    assert len(list((tmp_path / "elsewhere").iterdir())) == 2


def test_a_lab_that_one_fixture_hands_on_to_another_is_in_one_bundle(tmp_path: Path) -> None:
    tests = "import pytest\n@pytest.fixture\ndef worn(lab): return lab\ndef test_a(worn): assert False\n"
    run = Run(tmp_path, tests)
    assert list(run.named) == ["test_it.py::test_a"], run.output
    assert len(list((tmp_path / "lab-bundles").iterdir())) == 1


ASKED = """
def test_a(lab, lab_engine):
    from lab import wait
    asked = lambda: sum("open" in call for call in lab_engine.calls)
    if EXPECTED:
        wait.until(lambda: asked() >= 3 or wait.NotYet(asked()), what="three to be asked", timeout=10)
    else:
        assert asked() == 0
"""


@pytest.mark.parametrize("packets", [True, False])
def test_every_machine_keeps_its_last_packets_unless_nobody_wants_them(tmp_path: Path, packets: bool) -> None:
    options = [] if packets else ["--lab-no-packets"]
    run = Run(tmp_path, ASKED.replace("EXPECTED", str(packets)), *options)
    assert "1 passed" in run.output, run.output


BROKEN = """
import pytest
from lab import spec
from lab.errors import LabError
from lab.pytest_plugin.labs import temporary_lab

@pytest.fixture(autouse=True)
def broken(lab_engine):
    def during(asked):
        if asked.startswith("start "):
            raise LabError("out of sorts")
    lab_engine.during = during
"""


def test_a_lab_that_could_not_be_made_is_in_a_bundle_too(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        f"{BROKEN}\n@pytest.fixture\ndef mine(make_lab): make_lab(spec.tutorial())\n"
        "\ndef test_a(mine): pass\n",
    )
    assert list(run.named) == ["test_it.py::test_a"], run.output


def test_what_was_to_fail_leaves_no_bundle(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        f"{BROKEN}\ndef test_a(make_lab):\n    with pytest.raises(LabError):\n"
        "        make_lab(spec.tutorial())\n",
    )
    assert "1 passed" in run.output
    assert run.named == {}
    assert list((tmp_path / "lab-bundles").iterdir()) == []


@pytest.mark.slow
def test_where_everything_fails_the_first_bundles_are_enough(tmp_path: Path) -> None:
    run = Run(
        tmp_path, "import pytest\n@pytest.mark.parametrize('n', range(12))\ndef test_a(lab, n): assert 0\n"
    )
    assert "12 failed" in run.output
    assert len(list((tmp_path / "lab-bundles").iterdir())) == len(run.named) == 10
