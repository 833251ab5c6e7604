"""A lab from an empty folder, with nothing but what was installed from the wheel."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests import wheels
from tests.cluster.examples import FOLDER

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    wheel = wheels.wheel(wheels.sdist(tmp_path_factory.mktemp("sdist")), tmp_path_factory.mktemp("wheel"))
    return wheels.environment(folder / "env", wheel)


def test_an_installed_lab_comes_up_from_an_empty_folder(programs, name, tmp_path, left_of):
    def lab(*argv: str) -> str:
        command = [programs / "lab", *argv, "--name", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert re.search(r"^All \d+ checks passed\.$", lab("up"), re.MULTILINE)
    lab("down")
    assert left_of(name) == []
    assert list(tmp_path.iterdir()) == []


def test_a_project_tests_its_own_daemon_with_nothing_but_the_wheel(programs, tmp_path):
    project = shutil.copytree(FOLDER / "pytest-project", tmp_path / "project")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "LAB_"))}
    done = subprocess.run(
        [programs / "python", "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


NAMES = """
from pathlib import Path

import pytest

from lab import wait

@pytest.mark.parametrize("number", range(4))
def test_all_have_the_same_lab(lab, number, worker_id):
    Path(f"{worker_id}.txt").write_text(lab.name)

    def both():
        return len(list(Path().glob("gw*.txt"))) == 2 or wait.NotYet("one worker alone")

    wait.until(both, what="both workers to have a lab", timeout=300)
"""


def test_workers_of_a_run_share_a_lab_that_is_gone_with_the_last_of_them(tmp_path, left_of):
    shutil.copytree(FOLDER / "pytest-project", tmp_path, dirs_exist_ok=True)
    (tmp_path / "test_static_routes.py").write_text(NAMES)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n",
            "2",
            "--dist",
            "load",
            "--lab-share",
            "-p",
            "no:cacheprovider",
        ],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "LAB_"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr
    (name,) = {file.read_text() for file in tmp_path.glob("gw*.txt")}
    assert left_of(name) == []
