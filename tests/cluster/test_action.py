"""The GitHub Action's own steps, with what a runner gives them, on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.sources import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.thorough]

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())


class Runner:
    """As much of GitHub's runner as a composite action's shell steps see of it."""

    def __init__(self, folder: Path, inputs: dict[str, str]) -> None:
        self._inputs = {name: given.get("default", "") for name, given in ACTION["inputs"].items()} | inputs
        self.workspace = folder / "workspace"
        self.workspace.mkdir()
        self._files = {name: folder / name for name in ("GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH")}
        for file in self._files.values():
            file.touch()
        temporary = folder / "temp"
        temporary.mkdir()
        # The environment that runs the tests is the one that tools/setup has made.
        self._action = folder / "action"
        (self._action / "tools").mkdir(parents=True)
        (self._action / "tools" / "setup").write_text('#!/bin/sh\nprintf %s "$*" > "$0.arguments"\n')
        (self._action / "tools" / "setup").chmod(0o755)
        (self._action / ".venv").symlink_to(sys.prefix)
        self._environment = {
            "GITHUB_ACTION_PATH": str(self._action),
            "RUNNER_TEMP": str(temporary),
            **{name: str(file) for name, file in self._files.items()},
        }

    @property
    def setup(self) -> str:
        """What tools/setup was asked for."""
        return (self._action / "tools" / "setup.arguments").read_text()

    def told(self, name: str) -> dict[str, str]:
        lines = self._files[name].read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def shell(self, script: str, **environment: str) -> str:
        """A step with `shell: bash`, after all those before it."""
        path = os.pathsep.join([*self._files["GITHUB_PATH"].read_text().split(), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.workspace,
            env={
                **os.environ,
                **self._environment,
                **self.told("GITHUB_ENV"),
                "PATH": path,
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def run(self) -> None:
        for step in ACTION["runs"]["steps"]:
            assert step["shell"] == "bash"
            expressions = {f"${{{{ inputs.{name} }}}}": value for name, value in self._inputs.items()}
            self.shell(step["run"], **{name: expressions[text] for name, text in step.get("env", {}).items()})

    def outputs(self) -> dict[str, str]:
        told = self.told("GITHUB_OUTPUT")
        return {
            name: told[output["value"].removeprefix("${{ steps.up.outputs.").removesuffix(" }}")]
            for name, output in ACTION["outputs"].items()
        }


def test_the_action_brings_a_lab_up_that_later_steps_mean(name, tmp_path):
    runner = Runner(tmp_path, {"lab-file": "my lab.yaml"})
    (runner.workspace / "my lab.yaml").write_text(json.dumps({"name": name, "pods": []}))
    runner.run()
    assert runner.setup == "lab"
    assert runner.outputs()["name"] == name
    report = json.loads(Path(runner.outputs()["report"]).read_text())
    assert (report["lab"], report["failed"]) == (name, 0)
    bundles = runner.told("GITHUB_ENV")["LAB_BUNDLES"]
    assert Path(bundles).is_relative_to(tmp_path)
    assert not Path(bundles).exists()
    runner.shell("lab exec centos-minion01 -- ip link set docker0 mtu 1400; ! lab check")
    assert [file.suffix for file in Path(bundles).iterdir()] == [".gz"]
    assert name in runner.shell("lab ls")
    assert "centos-minion02" in runner.shell("lab exec centos-minion02 -- hostname")
    runner.shell("lab down")
