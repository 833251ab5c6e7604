"""The verb that shows packets: capture."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from lab.capture import places
from lab.capture.control import capture, compiled
from lab.capture.model import SNAPLEN, Asked, Output
from lab.capture.output import File, Lines, Sink
from lab.cli import complete
from lab.cli.common import given, lab_name
from lab.cluster import Lab
from lab.deadlines import QUESTION
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.faults.options import duration
from lab.naming import name_option
from lab.signals import shielded

__all__ = ["COMMANDS"]


@click.command(name="capture")
@click.argument("words", metavar="[NODE|POD|NODE/DEVICE...]", nargs=-1, shell_complete=complete.ends)
@click.option(
    "-w",
    "--write",
    "path",
    metavar="FILE",
    shell_complete=complete.files,
    help="Write pcapng to this file; `-` is standard output.",
)
@click.option(
    "-f", "--filter", "expression", metavar="FILTER", default="", help="Only these: pcap-filter(7)."
)
@click.option(
    "--for", "seconds", metavar="TIME", callback=given("--for", duration), help="End after this time, as 30s."
)
@click.option("--count", type=click.IntRange(1), help="End after so many packets.")
@click.option(
    "--snaplen",
    type=click.IntRange(1, SNAPLEN),
    default=SNAPLEN,
    help="Bytes of each packet  [default: all of them]",
)
@lab_name
def capture_(
    words: tuple[str, ...],
    path: str | None,
    expression: str,
    seconds: float | None,
    count: int | None,
    snaplen: int,
    name: str,
) -> int:
    """Capture packets at several places at once, in the order of time: as lines, or with -w as pcapng.

    A place is a machine (all its devices but lo), a pod, or a device of a machine; without any it is the
    underlay's devices of all machines, and every pod, also those that are created meanwhile. Faults and
    leases that come and go meanwhile are comments of the packets that follow. Ctrl-C ends it, and the file
    is whole.
    """
    if path == "-" and sys.stdout.isatty():
        raise Unfit("-w -: standard output is a terminal", hint="Pipe it: lab capture -w - | tshark -r -")
    lab = Lab.get(Engine.connect(), name)
    running = [node.name for node in lab.spec.nodes if lab.state(node.name) == "running"]
    if not running:
        raise LabError(f"no machine of the lab {name} runs", hint=f"see: lab status{name_option(name)}")
    wanted = places.wanted(_meant(lab, words), running) if words else places.everything(lab.spec, running)
    asked = Asked(compiled(lab, running[0], expression, snaplen), snaplen, seconds, count)
    about = f"lab {name}: {' '.join(words) or 'the underlay and all pods'}"
    about += f"; filter: {expression}" if expression else ""
    with shielded() as deferred:
        try:
            sink = Sink(Path(path) if path not in (None, "-") else None, lambda: deferred.insisted)
            output: Output = File(sink.write, snaplen, about) if path else Lines(sink.write)

            def heed() -> None:
                deferred.heed()
                sink.require_reader()

            found = capture(lab, wanted, asked, output, heed=heed, ready=_say_ready)
            sink.close()
        except BrokenPipeError:  # nobody reads any more: as for head(1), that is no error
            return 0
        for complaint in found.complaints:
            click.echo(f"lab: {complaint}", err=True)
        click.echo(found.describe(), err=True)
    return 1 if found.complaints else 0


def _say_ready(number: int, told: Sequence[str]) -> None:
    for words in told:
        click.echo(f"lab: {words}", err=True)
    click.echo(f"capturing at {number} place{'' if number == 1 else 's'}; Ctrl-C ends it", err=True)


def _meant(lab: Lab, words: Sequence[str]) -> Sequence[places.Meant]:
    """What is to be captured. Raises `LabError`."""
    pods = lab.pods()
    names = [node.name for node in lab.spec.nodes]
    found = [places.meant(word, lab.name, names, pods) for word in words]
    for node in dict.fromkeys(place.node for place in found):
        lab.node(node)  # raises where it does not run
    for node, named in places.devices_named(found).items():
        there = lab.node(node).run(["ls", "/sys/class/net"], within=QUESTION.seconds).text.split()
        places.require(node, named, there)
    return found


COMMANDS = (capture_,)
