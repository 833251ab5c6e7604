"""Programs in Python without its start and their imports, which cost a second each: forked from a process
that has them.

What is to be seen of a program's start, or of its end by a signal, needs the program itself.
"""

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from lab.deadlines import patience

__all__ = ["run_module"]

IMPORTED: Final = (
    "pytest",
    "lab.cli.entry",
    "lab.cli.labs",
    "lab.cli.status",
    "lab.pytest_plugin.labs",
    "lab.pytest_plugin.report",
    "tests.preloaded",
)
"""What programs have in common. A module that cannot be imported is left to the program to tell of.

Not pytest-xdist, which hands on to its workers what the path of imports was when it was imported.
"""

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(list(IMPORTED))


def run_module(
    name: str,
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
) -> "subprocess.CompletedProcess[str]":
    """As `python -m NAME ARGV...` with its outputs apart; one that takes longer is killed.

    `timeout` is in seconds of an ordinary machine, which LAB_PATIENCE multiplies.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder) / stream for stream in ("out", "err"))
        process = SERVER.Process(
            target=_become, args=(name, list(argv), str(cwd or Path.cwd()), dict(env or os.environ), out, err)
        )
        process.start()
        process.join(limit := timeout * patience())
        if late := process.exitcode is None:
            process.kill()
            process.join()
        told = [path.read_text("utf-8", "replace") if path.exists() else "" for path in (out, err)]
        command = [sys.executable, "-m", name, *argv]
        if late:
            raise subprocess.TimeoutExpired(command, limit, *told)
        assert process.exitcode is not None
        return subprocess.CompletedProcess(command, process.exitcode, *told)


def _become(name: str, argv: Sequence[str], cwd: str, env: Mapping[str, str], *outputs: Path) -> None:
    """The program itself, with the environment that it would have been started with."""
    gc.freeze()  # what was imported before is not to be looked through again by each of them
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY), descriptor)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    given = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.path[:] = [*given, *(entry for entry in sys.path if entry and entry not in given)]
    sys.argv = [name, *argv]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
