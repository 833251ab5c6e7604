"""Lease safety at length: the model of tests/flanneld_py/test_lease_model.py with 100,000 histories."""

import os
import subprocess
import sys
import time

import click

from tests.bench.cluster import ROOT

__all__ = ["run"]

HISTORIES = 100_000
MODEL = "tests/flanneld_py/test_lease_model.py::test_no_history_has_two_holders_of_one_subnet"


def run() -> None:
    """Run them and tell what was found; a violation ends the benchmark with its history."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", MODEL],
        cwd=ROOT,
        env={**os.environ, "LEASE_HISTORIES": str(HISTORIES)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        raise click.ClickException(f"the model of lease safety failed:\n{done.stdout[-6000:]}")
    click.echo(f"{'lease histories, no two holders':<46} {HISTORIES:8} in {seconds:.0f} s")
