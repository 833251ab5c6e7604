"""The verb that measures how a cluster of many nodes does: scale."""

from pathlib import Path

import click

from lab import host
from lab import scale as scale_
from lab.chart import require_matplotlib
from lab.cli.common import Choice, as_json, as_text, echo, file_option, given, output_option
from lab.cli.engines import engines_of
from lab.errors import Unfit
from lab.faults.options import duration
from lab.progress import on_terminal
from lab.scale import simulation
from lab.streams import width

__all__ = ["COMMANDS"]

MOST_SIMULATED = 10_000
"""Nodes that are simulated at most: more take minutes."""


@click.command()
@click.argument("numbers", metavar="N...", type=click.IntRange(2, MOST_SIMULATED), nargs=-1, required=True)
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
@click.option(
    "--fault",
    "faults",
    metavar="FAULT",
    multiple=True,
    help="Also have a fault, written as after `lab fault start`: in force throughout, such as 'delay etcd "
    "--time 50ms', or with --for in it for a time. Can be given again.",
)
@file_option("-f", "--file", "file", what="Share the machines out to the engines that this lab file names.")
@file_option("--simulate", what="Measure nothing: simulate, by the scale.json of a run of up to 100 nodes.")
@click.option(
    "--processors",
    metavar="P",
    type=click.IntRange(1, 256),
    help="Simulate each node as a machine of its own, and so many processors of each member of etcd.",
)
@click.option(
    "--link",
    metavar="GBIT",
    type=click.FloatRange(0.1, 400),
    default=10.0,
    show_default=True,
    help="What the network of each member of etcd passes then, in Gbit/s.",
)
@click.option(
    "--partition",
    metavar="PART",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Also simulate that this part of the nodes, such as 0.3, loses etcd, for as long as --for says.",
)
@file_option("--binary", what="Measure a genuine flanneld, 0.18 or later, or another program.")
@output_option("build/scale", "Where the files with what was found go.")
@as_json
def scale(
    numbers: tuple[int, ...],
    backend: str,
    members: str,
    churn: float | None,
    lasting: float,
    faults: tuple[str, ...],
    file: Path | None,
    simulate: Path | None,
    processors: int | None,
    link: float,
    partition: float,
    binary: Path | None,
    output: Path,
    json_: bool,
) -> int:
    """Measure how clusters of so many nodes start, and what they take when something happens to them.

    Nodes are network namespaces in one container without any network, each with a real flanneld; etcd is
    real. For each N: the time from the start until all have all routes, of one node more until all know it,
    after etcd was killed and started, and after the leases of a tenth of the nodes end; processor time,
    memory and sockets of a node; etcd's load. Exits with 1 if nodes do not come to know what they should.

    Machines of a --fault are n1, n2 and so on, and m1 and so on, which have etcd. One that is not in force
    throughout, such as 'partition-etcd n1 n2 --for 10s' or 'etcd-wipe', comes before nodes die; timed is from
    its end, or from an event on, until all know of one more lease. docs/scale.md lists which there are.

    With -f machines are shared out to the `engines` of a lab file, of which nothing else is read: n1 and m1
    are on that of the environment, the others on each in turn. Engines have to be of one swarm.

    With --simulate nothing is started: what up to 10,000 nodes would take is calculated from what runs of a
    few have taken, on the same machine or, with --processors, each on one of its own.
    """
    if simulate is not None:
        if faults or file is not None:
            raise Unfit("--fault and --file are of real runs; leave them out, or --simulate")
        if binary is not None:
            raise Unfit("--simulate is of our own flanneld, whose policies it has; leave --binary out")
        asked = simulation.Asked(numbers, processors, link, int(members), churn or 0.0, partition, lasting)
        return _simulate(asked, simulate, output, json_)
    if processors is not None or partition or max(numbers) > scale_.MOST:
        raise Unfit(
            f"--processors, --partition and more than {scale_.MOST} nodes are for --simulate",
            hint="Give it the scale.json of `lab scale 10 50 100`.",
        )
    settings = scale_.Settings(
        numbers,
        backend,
        int(members),
        churn or 0.0,
        lasting,
        faults=tuple(scale_.wanted(text) for text in faults),
        engines=() if file is None else tuple(engines_of(file)),
    )
    require_matplotlib("lab scale")
    output.mkdir(parents=True, exist_ok=True)  # now: if this fails, not after a long run

    def write(results: scale_.Results) -> None:
        (output / "scale.json").write_text(as_text(scale_.document(results)) + "\n", encoding="utf-8")
        scale_.draw(results, output / "scale")

    with on_terminal() as progress:
        results = scale_.run(host.ensure_engine(progress), settings, binary, progress, write)
    echo(as_text(scale_.document(results)) if json_ else scale_.text(results, width()))
    return 0 if results.sound else 1


def _simulate(asked: simulation.Asked, source: Path, output: Path, json_: bool) -> int:
    output.mkdir(parents=True, exist_ok=True)
    with on_terminal() as progress:
        found = simulation.run(asked, source, progress)
    written = as_text(simulation.document(found))
    name = "foretold.json" if asked.processors is None else f"simulated-{asked.members}.json"
    (output / name).write_text(written + "\n", encoding="utf-8")
    echo(written if json_ else simulation.text(found, width()))
    return 1 if any(run[-1].lacking for item in found.simulated for run in item.runs) else 0


COMMANDS = (scale,)
