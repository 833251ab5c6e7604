"""The verb that measures: bench."""

from pathlib import Path

import click

from lab import bench as bench_
from lab import host
from lab.chart import require_matplotlib
from lab.cli.common import Choice, as_json, as_text, echo, output_option
from lab.progress import on_terminal
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@click.option(
    "--rounds", type=click.IntRange(1), default=5, show_default=True, help="Rounds; each measures every way."
)
@click.option(
    "--seconds", type=click.IntRange(1, 60), default=2, show_default=True, help="Length of each measurement."
)
@click.option(
    "--only",
    multiple=True,
    metavar="WAY",
    type=Choice(bench_.KINDS),
    help=f"Only this way; may be repeated: {', '.join(bench_.KINDS)}.",
)
@click.option("--verify", is_flag=True, help="Carry and compare 1 GB in each direction, not 64 MB.")
@click.option(
    "--congestion", metavar="NAME", default="", help="TCP's congestion control  [default: this machine's]"
)
@output_option("build/bench", "Where bench.json, bench.svg and bench.png go.")
@as_json
def bench(
    rounds: int, seconds: int, only: tuple[str, ...], verify: bool, congestion: str, output: Path, json_: bool
) -> int:
    """Measure how fast each way from machine to machine is, all of them in one run.

    Plain veth, host-gw, vxlan, and udp packet by packet, with offloads and with the fast path; with
    FLANNELD_REFERENCE=PATH (several separated by `:`) also a genuine flanneld's udp, and pairs of a genuine
    one and ours. Prints medians, and ratios within the rounds with their spread. Exits with 1 if data arrived
    changed, or a measurement failed.
    """
    settings = bench_.Settings(rounds, seconds, only, verify, congestion)
    require_matplotlib("lab bench")
    output.mkdir(parents=True, exist_ok=True)  # now: if this fails, not after a long run
    with on_terminal() as progress:
        results = bench_.bench(host.ensure_engine(progress), settings, progress)
        with progress.step(f"write {output}"):
            document = as_text(bench_.document(results, settings))
            (output / "bench.json").write_text(document + "\n")
            bench_.draw(results, settings, output / "bench")
    echo(document if json_ else bench_.text(results, settings, width=width()))
    return 0 if results.sound else 1


COMMANDS = (bench,)
