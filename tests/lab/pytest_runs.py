"""Runs of pytest with the laboratory's plugin, on a pretended engine."""

import os
import re
from pathlib import Path

from tests.forking import run_module

__all__ = ["Run"]

ROOT = Path(__file__).parents[2]

WITHOUT = [
    f"-pno:{plugin}"
    for plugin in (
        "anyio",
        "cacheprovider",
        "doctest",
        "hypothesispytest",
        "junitxml",
        "pastebin",
        "unittest",
    )
]
"""What no test here uses: importing it takes longer than the rest of a run."""

ALONE = "-pno:xdist"
"""The same of runs without workers."""

TRACEBACKS = "--tb=native"
"""Pytest's own, of which no test here looks at more than the last line, are searched for in every module."""

CONFTEST = """
import pytest
from lab.pytest_plugin.labs import leave_bundles_in
from tests.lab.pretended import pretended_world

@pytest.fixture(scope="session")
def lab_engine(request):
    leave_bundles_in(request.config)
    with pytest.MonkeyPatch.context() as patch:
        fake = pretended_world(patch)
        yield fake.engine
        print("left:", fake.left)
"""


class Run:
    """How the run ended."""

    def __init__(self, folder: Path, tests: str, *options: str) -> None:
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_it.py").write_text(tests)
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("LAB_", "PYTEST_"))
        }
        done = run_module(
            "pytest",
            [
                *WITHOUT,
                *([] if "-n" in options else [ALONE]),
                "-s",
                TRACEBACKS,
                f"--basetemp={folder / 'tmp'}",
                f"--rootdir={folder}",
                *options,
            ],
            cwd=folder,
            env={**environment, "PYTHONPATH": f"{ROOT}:{environment.get('PYTHONPATH', '')}"},
        )
        self.output = done.stdout + done.stderr
        self.named = dict(re.findall(r"^lab bundle about (\S+): (.*)$", self.output, re.MULTILINE))
