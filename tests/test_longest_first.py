"""Files that take longest are the first that workers take."""

import json
import subprocess
import sys
from pathlib import Path

from tests.longest_first import Case, longest_first

ROOT = Path(__file__).parents[1]


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


def test_the_tests_of_a_file_keep_their_order():
    tests = [*many("a", 3), *many("b", 5)]
    assert longest_first(tests, {"a::2": 100.0}) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert longest_first(tests, {}) == [3, 4, 5, 6, 7, 0, 1, 2]


def test_workers_begin_with_what_an_earlier_run_has_found_to_be_long_and_each_run_tells_the_next(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.longest_first"]\n')
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text("def test_it():\n    pass\n")
    seconds = tmp_path / ".pytest_cache" / "v" / "overlay-lab" / "seconds"
    seconds.parent.mkdir(parents=True)
    seconds.write_text('{"test_c.py::test_it": 3, "test_gone.py::test_it": 2}')
    argv = [sys.executable, "-m", "pytest", "-c", "/dev/null", f"--rootdir={tmp_path}", "-n1", "-v"]
    argv += ["--dist=loadfile", "--no-loadscope-reorder", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    begun = [line for line in done.stdout.splitlines() if line.startswith("[gw0]")]
    assert [line.rpartition("/")[2] for line in begun] == [f"test_{name}.py::test_it " for name in "cab"]
    known = json.loads(seconds.read_text())
    assert known.keys() == {f"test_{name}.py::test_it" for name in ("a", "b", "c", "gone")}
    assert known["test_c.py::test_it"] < 3
