"""Kill runs of pytest that have a lab, each at a random moment; nothing may be left that nobody removes.

KILLS=50 of them, from SEED. One in two is followed by `lab gc`, the others by the next run under their name,
and a third of them has two workers that share the lab. In the end nothing of the engine bears those names.
"""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lab import wait
from lab.deadlines import patience
from lab.engine import Engine
from lab.labels import NAME
from lab.progress import on_terminal

KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", str(random.randrange(10**6))))

LAB = """
nodes:
  - {name: one, services: [etcd, flanneld, docker], host: 11}
  - {name: two, services: [flanneld, docker], host: 12}
pods: []
"""

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(6))
def test_a_command_runs(lab, number):
    assert lab.node("two").run(["cat", "/run/flannel/subnet.env"]).text

def test_a_fault_ends(lab):
    with lab.fault("delay", "two", time="1ms"):
        pass
"""

ENGINE_IS_DONE = 60.0
"""Seconds for the engine to make or remove what a killed run has asked for last, and for `lab gc`."""


def left(engine: Engine, prefix: str) -> Sequence[str]:
    """Everything of the engine that carries the name of one of our labs."""
    found = [(item.name, item.labels) for item in engine.containers([NAME])]
    found += [(item.name, item.labels) for item in engine.networks([NAME])]
    found += [(item.name, item.labels) for item in engine.volumes([NAME])]
    return [name for name, labels in found if labels[NAME].startswith(prefix)]


def run_pytest(folder: Path, name: str, shared: bool) -> "subprocess.Popen[str]":
    """Begin a run of the tests, in a process group of its own."""
    options = ["-n2", "--lab-share"] if shared else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}"]
    return subprocess.Popen(
        [*command, f"--lab-name={name}", "--lab-file=lab.yaml", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def collect(engine: Engine, prefix: str) -> None:
    """Have `lab gc` remove what is left, however long the engine is at work on it yet."""

    def collected() -> bool | wait.NotYet:
        subprocess.run([sys.executable, "-m", "lab", "gc"], check=True, capture_output=True)
        found = left(engine, prefix)
        return not found or wait.NotYet(found)

    wait.until(collected, what="lab gc to leave nothing", timeout=ENGINE_IS_DONE * patience())


def whole_run(folder: Path, name: str, shared: bool) -> float:
    """Run the tests to their end; how many seconds that takes. Raises `SystemExit` if they fail."""
    began = time.monotonic()
    with run_pytest(folder, name, shared) as run:
        said, _ = run.communicate()
    if run.returncode != 0:
        sys.exit(f"a run that nobody kills fails (seed {SEED}):\n{said}")
    return time.monotonic() - began


def main() -> int:
    drawn = random.Random(SEED)
    prefix = f"kills-{secrets.token_hex(3)}"
    with (
        tempfile.TemporaryDirectory() as place,
        closing(Engine.connect()) as engine,
        on_terminal() as progress,
    ):
        folder = Path(place)
        (folder / "lab.yaml").write_text(LAB)
        (folder / "test_it.py").write_text(TESTS)
        longest = {shared: whole_run(folder, f"{prefix}-0", shared) for shared in (False, True)}
        progress.note(
            f"seed {SEED}: a run takes {longest[False]:.1f} s, with two workers {longest[True]:.1f} s"
        )
        for number in range(1, KILLS + 1):
            shared, follow = drawn.random() < 1 / 3, drawn.choice(["lab gc", "the next run"])
            moment, name = drawn.uniform(0, longest[shared]), f"{prefix}-{number}"
            with run_pytest(folder, name, shared) as run:
                wait.passing(moment)
                os.killpg(run.pid, signal.SIGKILL)
                run.communicate()
            found = left(engine, prefix)
            workers = "two workers" if shared else "one process"
            progress.note(
                f"{number}: {workers} killed after {moment:.2f} s: {len(found)} things left; {follow}"
            )
            if follow == "lab gc":
                collect(engine, prefix)
            else:
                whole_run(folder, name, shared)
                if found := left(engine, prefix):
                    sys.exit(f"the next run has left {found} (seed {SEED}, kill {number})")
    return 0


sys.exit(main())
