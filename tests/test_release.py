"""What a release is made from agrees with itself."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from flanneld_py import __version__
from tests.sources import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_daemon_says_the_projects_version():
    assert __version__ == VERSION


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The version 1.2.3, ready to be released."""
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "check-tag", tmp_path / "tools")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.3\n\n- A change.\n")
    return tmp_path


def check_tag(clone: Path, tag: str) -> tuple[int, str]:
    argv = [str(clone / "tools" / "check-tag"), tag]
    # Its python3 is ours: that of a version manager takes longer than all else to find one.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stderr


def test_a_tag_of_the_version_with_its_changes_is_a_release(clone):
    assert check_tag(clone, "v1.2.3") == (0, "")


@pytest.mark.parametrize("tag", ["v1.2.4", "1.2.3", "v1.2.3rc1"])
def test_a_tag_of_another_version_is_none(clone, tag):
    words = f"The tag is {tag} and the version in pyproject.toml is 1.2.3: expected the tag v1.2.3\n"
    assert check_tag(clone, tag) == (1, words)


def test_a_version_whose_changes_are_not_told_is_none(clone):
    (clone / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")
    words = 'CHANGELOG.md has no section "## 1.2.3": rename "## Unreleased"\n'
    assert check_tag(clone, "v1.2.3") == (1, words)


def test_only_what_was_tried_is_published_and_by_no_password():
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    jobs = release["jobs"]
    assert (jobs["try"]["needs"], jobs["publish"]["needs"]) == ("build", "try")
    assert any(step.get("run", "").startswith("tools/check-tag ") for step in jobs["build"]["steps"])
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in (ROOT / ".github" / "workflows" / "release.yml").read_text()
