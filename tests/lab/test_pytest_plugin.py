"""The pytest plugin, as a project that uses it sees it: runs of pytest on a pretended engine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.pytest_runs import Run

NAMES = """
def told(lab):
    with open("labs.txt", "a") as file:
        print(lab.name, lab.spec.nodes[0].name, file=file)
"""
DEMO = "name: demo\nnodes: [{name: alone, host: 9, services: []}]\npods: []\n"
OTHER = DEMO.replace("alone", "other")


def labs(folder: Path) -> list[tuple[str, str]]:
    """The lab of each test that has run, and its first node."""
    found = []
    for line in (folder / "labs.txt").read_text().splitlines():
        name, node = line.split()
        found.append((name, node))
    return found


def test_a_test_has_the_tutorials_cluster_unless_something_else_is_said(tmp_path: Path) -> None:
    run = Run(tmp_path, f"{NAMES}\ndef test_a(lab, node, pod):\n    told(lab)\n    node('centos-minion01')")
    assert "1 passed" in run.output
    ((name, node),) = labs(tmp_path)
    assert re.fullmatch(r"test-[0-9a-f]{8}", name)
    assert node == "centos-master"


def test_the_lab_file_is_the_settings_or_the_options(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(DEMO)
    (tmp_path / "other.yaml").write_text(OTHER)
    (tmp_path / "pytest.ini").write_text("[pytest]\nlab_file = demo.yaml\n")
    test = f"{NAMES}\ndef test_a(lab, lab_file):\n    assert lab_file.is_file()\n    told(lab)"
    Run(tmp_path, test)
    Run(tmp_path, test, "--lab-file=other.yaml")
    assert [node for _, node in labs(tmp_path)] == ["alone", "other"]


MARKED = f"""
import pytest
{NAMES}
@pytest.mark.lab("demo.yaml")
def test_one(lab): told(lab)

def test_two(lab): told(lab)

@pytest.mark.lab("demo.yaml")
def test_three(lab): told(lab)
"""


def test_a_marker_names_the_file_and_tests_of_one_file_share_a_lab(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(DEMO)
    run = Run(tmp_path, MARKED, "-v")
    assert "3 passed" in run.output
    assert "test_one[demo]" in run.output
    found = labs(tmp_path)
    assert sorted(node for _, node in found) == ["alone", "alone", "centos-master"]
    assert len(set(found)) == 2
    assert "PytestUnknownMarkWarning" not in run.output


@pytest.mark.parametrize(("scope", "count"), [("session", 1), ("module", 1), ("function", 2)])
def test_the_scope_says_what_shares_a_lab(tmp_path: Path, scope: str, count: int) -> None:
    tests = f"{NAMES}\ndef test_a(lab): told(lab)\ndef test_b(lab): told(lab)"
    Run(tmp_path, tests, f"--lab-scope={scope}")
    assert len(set(labs(tmp_path))) == count


def test_a_lab_has_the_name_that_is_given_and_is_gone_at_the_end(tmp_path: Path) -> None:
    tests = f"{NAMES}\ndef test_a(lab): told(lab)"
    run = Run(tmp_path, tests, "--lab-name=mine")
    assert labs(tmp_path) == [("mine", "centos-master")]
    assert "left: []" in run.output


def test_a_lab_that_is_to_be_kept_is_left_up_whole_and_named(tmp_path: Path) -> None:
    run = Run(tmp_path, "def test_a(lab): assert lab.complete", "--lab-name=mine", "--lab-keep")
    assert "1 passed" in run.output
    assert "the lab mine stays up; to remove it: lab down --name mine" in run.output
    assert "'lab-mine-complete'" in run.output.partition("left: ")[2]


UP = """
import pytest
from lab import spec
from lab.cluster import lifecycle
from lab.events import Reporter

@pytest.fixture(scope="session", autouse=True)
def somebodys(lab_engine):
    lifecycle.up(lab_engine, spec.tutorial().with_name("mine"), Reporter())
"""


def test_a_lab_that_somebody_has_up_is_used_only_if_it_is_asked_for(tmp_path: Path) -> None:
    tests = f"{UP}{NAMES}\ndef test_a(lab): told(lab)"
    refused = Run(tmp_path, tests, "--lab-name=mine")
    assert "there is a lab mine already" in refused.output
    assert "'lab-mine-complete'" in refused.output.partition("left: ")[2]
    used = Run(tmp_path, tests, "--lab-name=mine", "--lab-reuse")
    assert "1 passed" in used.output
    assert labs(tmp_path) == [("mine", "centos-master")]
    assert "'lab-mine-complete'" in used.output.partition("left: ")[2]


def test_what_a_killed_run_left_under_the_name_is_removed_first(tmp_path: Path) -> None:
    left = UP.replace("    lifecycle.up(", "    lifecycle.build(")  # without the mark of a whole lab
    run = Run(tmp_path, f"{left}{NAMES}\ndef test_a(lab): told(lab)", "--lab-name=mine")
    assert "1 passed" in run.output
    assert labs(tmp_path) == [("mine", "centos-master")]
    assert run.output.partition("left: ")[2].startswith("[]")


def test_a_lab_made_from_another_file_is_not_used_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "demo.yaml").write_text(DEMO)
    options = ("--lab-name=mine", "--lab-reuse", "--lab-file=demo.yaml")
    run = Run(tmp_path, f"{UP}\ndef test_a(lab): pass", *options)
    assert "made from another lab file" in run.output


def test_a_marker_without_a_file_is_bad_usage(tmp_path: Path) -> None:
    run = Run(tmp_path, "import pytest\n@pytest.mark.lab\ndef test_a(lab): pass")
    assert "test_a: expected @pytest.mark.lab(FILE)" in run.output


@pytest.mark.slow
def test_where_no_test_asks_for_a_lab_nothing_of_the_laboratory_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\ndef test_a():\n"
        "    many = ('lab.cluster', 'docker', 'pydantic')\n"
        "    assert not [name for name in sys.modules if name.startswith(many)]\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_lab_in_which_a_check_does_not_hold_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    broken = """
import os
import pytest
from lab import checks
from tests.lab.examples import with_no_routes

os.environ["LAB_PATIENCE"] = "0.05"  # or the plan looks again for a while

@pytest.fixture(scope="session", autouse=True)
def broken(lab_engine):
    checks.run_all = lambda *_, **__: checks.judge(with_no_routes())

def test_a(lab): pass
"""
    run = Run(tmp_path, broken, "--lab-name=mine")
    assert "1 error" in run.output
    assert "the lab mine is up, and not right:" in run.output
    assert "overlay routes of centos-minion01: expected" in run.output, run.output
    assert "lab/pytest_plugin" not in run.output
    assert "left: []" in run.output
