"""The verb that measures how a cluster of many nodes does: scale."""

from pathlib import Path

import click

from lab import host
from lab import scale as scale_
from lab.bench import require_picture
from lab.cli.common import Choice, as_json, as_text, echo, file_option, given, output_option
from lab.faults.options import duration
from lab.progress import on_terminal
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@click.argument("numbers", metavar="N...", type=click.IntRange(2, scale_.MOST), nargs=-1, required=True)
@click.option(
    "--backend",
    type=Choice(scale_.KINDS),
    metavar="NAME",
    default="vxlan",
    show_default=True,
    help=f"Which one: {', '.join(scale_.KINDS)}.",
)
@click.option(
    "--members",
    type=Choice([str(number) for number in scale_.MEMBERS]),
    metavar="N",
    default="1",
    show_default=True,
    help=f"Of etcd: {', '.join(map(str, scale_.MEMBERS))}.",
)
@click.option(
    "--churn",
    metavar="RATE",
    callback=given("--churn", scale_.rate),
    help="Also replace so many nodes, 1/s or 30/m, one after another.",
)
@click.option(
    "--for",
    "lasting",
    metavar="TIME",
    default="30s",
    show_default=True,
    callback=given("--for", duration),
    help="How long there is churn.",
)
@file_option("--binary", what="Measure a genuine flanneld, 0.18 or later, or another program.")
@output_option("build/scale", "Where scale.json, scale.svg and scale.png go.")
@as_json
def scale(
    numbers: tuple[int, ...],
    backend: str,
    members: str,
    churn: float | None,
    lasting: float,
    binary: Path | None,
    output: Path,
    json_: bool,
) -> int:
    """Measure how clusters of so many nodes start, and what they take when something happens to them.

    Nodes are network namespaces in one container without any network, each with a real flanneld; etcd is
    real. For each N: the time from the start until all have all routes, of one node more until all know it,
    after etcd was killed and started, and after the leases of a tenth of the nodes end; processor time,
    memory and sockets of a node; etcd's load. Exits with 1 if nodes do not come to know what they should.
    """
    settings = scale_.Settings(numbers, backend, int(members), churn or 0.0, lasting)
    require_picture("lab scale")
    output.mkdir(parents=True, exist_ok=True)  # now: if this fails, not after a long run

    def write(results: scale_.Results) -> None:
        (output / "scale.json").write_text(as_text(scale_.document(results)) + "\n", encoding="utf-8")
        scale_.draw(results, output / "scale")

    with on_terminal() as progress:
        results = scale_.run(host.ensure_engine(progress), settings, binary, progress, write)
    echo(as_text(scale_.document(results)) if json_ else scale_.text(results, width()))
    return 0 if results.sound else 1


COMMANDS = (scale,)
