"""The command line of `make bench`."""

import json
import shutil
import sys
from pathlib import Path

import click

from lab import images, render
from lab.cluster import lifecycle
from lab.engine import Engine
from lab.events import Reporter
from tests.bench import cluster, faults, page, scale
from tests.bench.report import FIGURES
from tests.cluster.reference import references


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Rounds of each measurement.")
@click.option(
    "--only", type=click.Choice(["lab", "page", "faults", "daemon"]), help="One part instead of all."
)
@click.option("--tests/--no-tests", default=True, show_default=True, help="Time `make lab-test`, too.")
@click.option("--cold", is_flag=True, help="Remove our images and time a `lab up` without any.")
@click.option("--output", type=click.Path(path_type=Path), help="Write the figures there, as JSON.")
def main(rounds: int, only: str | None, tests: bool, cold: bool, output: Path | None) -> None:
    """Measure speed and size.

    With FLANNELD_REFERENCE=PATH, a genuine flanneld for etcd v3, its figures stand beside ours, with ratios.
    """
    engine = Engine.connect()
    if cold:
        list(images.remove(engine))
        up = [sys.executable, "-m", "lab", "up", "--name", cluster.NAME]
        cluster.whole("lab up, cold, no image", up, "target <= 100")
        lifecycle.down(engine, cluster.NAME)
    images.ensure(engine, Reporter())
    if only in (None, "lab"):
        cluster.warm(engine, rounds)
        cluster.many(engine, rounds)
        if tests:
            cluster.whole("make lab-test, warm", ["make", "lab-test"], "target <= 200")
        click.echo(render.images(images.listing(engine)))
        click.echo(f"{'.venv':<46} {cluster.folder_size(cluster.ROOT / '.venv') / 1e6:8.0f} MB")
        click.echo(f"disk free: {shutil.disk_usage(cluster.ROOT).free / 1e9:.0f} GB")
    if only in (None, "page"):
        page.measure(engine, rounds)
    if only in (None, "faults"):
        faults.measure(engine, rounds)
    if only in (None, "daemon"):
        current = (each.path for each in references() if each.etcd_api == "v3")
        scale.measure(engine, rounds, next(current, None))
    if output is not None:
        output.write_text(json.dumps({"figures": FIGURES}, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
