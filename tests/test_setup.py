"""Which Python `make setup` takes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pythons(tmp_path_factory) -> tuple[Path, Path]:
    """Two Pythons with paths of their own."""
    folder = tmp_path_factory.mktemp("pythons")
    for name in ("one", "two"):
        argv = [sys.executable, "-m", "venv", "--copies", "--without-pip", str(folder / name)]
        subprocess.run(argv, check=True)
    return folder / "one" / "bin" / "python3", folder / "two" / "bin" / "python3"


def chosen(clone: Path, *, first_on_path: Path, **environment: str) -> str:
    """The Python that is chosen in a clone, and the exit status if there is none."""
    path = f"{first_on_path.parent}:{os.environ['PATH']}"
    bare = {key: value for key, value in os.environ.items() if key != "PYTHON"}
    argv = [str(clone / "tools" / "python")]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env={**bare, "PATH": path, **environment}
    )
    return done.stdout.strip() or str(done.returncode)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "python", tmp_path / "tools")
    return tmp_path


@pytest.fixture
def made_with_two(clone: Path, pythons: tuple[Path, Path]) -> Path:
    (clone / ".venv").mkdir()
    (clone / ".venv" / "complete").write_text(f"a fingerprint\n{pythons[1]}\n")
    return clone


def test_at_first_it_is_the_first_on_the_path(clone, pythons):
    assert chosen(clone, first_on_path=pythons[0]) == str(pythons[0])


def test_a_plain_setup_keeps_the_one_that_the_environment_was_made_with(made_with_two, pythons):
    assert chosen(made_with_two, first_on_path=pythons[0]) == str(pythons[1])


def test_one_that_is_named_comes_before_it(made_with_two, pythons):
    assert chosen(made_with_two, first_on_path=pythons[1], PYTHON=str(pythons[0])) == str(pythons[0])


def test_one_that_is_gone_is_replaced_by_the_first_on_the_path(clone, pythons):
    (clone / ".venv").mkdir()
    (clone / ".venv" / "complete").write_text("a fingerprint\n/nowhere/python3\n")
    assert chosen(clone, first_on_path=pythons[0]) == str(pythons[0])


def test_one_that_is_named_and_absent_is_not_replaced(made_with_two, pythons):
    assert chosen(made_with_two, first_on_path=pythons[0], PYTHON="python2.7-not-here") == "1"
