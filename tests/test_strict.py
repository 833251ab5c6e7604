"""Errors that Python only prints end a program that a test starts."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.forking import run_module

ROOT = Path(__file__).parents[1]

FINALIZER = """
class Bad:
    def __del__(self):
        raise ValueError("unheard")
Bad()
print("went on")
"""

THREAD = """
import threading
def fail():
    raise ValueError("unheard")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
print("went on")
"""


@pytest.mark.parametrize("program", [FINALIZER, THREAD], ids=["a finalizer", "a thread"])
def test_an_error_in(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert "ValueError: unheard" in done.stderr


AS_A_TEST = """
def test_it():
{}
"""


@pytest.mark.parametrize("program", [FINALIZER, THREAD], ids=["a finalizer", "a thread"])
def test_a_test_fails_by_an_error_in(program, tmp_path):
    (tmp_path / "test_it.py").write_text(AS_A_TEST.format(textwrap.indent(program, "    ")))
    argv = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-p", "no:anyio"]
    argv += ["-p", "no:hypothesispytest", f"--basetemp={tmp_path / 'tmp'}", str(tmp_path)]
    argv += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # what is forked has imported our packages
    done = run_module("pytest", argv)
    assert "1 failed" in done.stdout, done.stdout
    assert "ValueError: unheard" in done.stdout
