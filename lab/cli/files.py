"""The verb that copies: cp."""

import click

from lab.cli import complete
from lab.cli.common import lab_name
from lab.cluster import Lab
from lab.copying.control import copy
from lab.copying.paths import read_place
from lab.engine import Engine

__all__ = ["COMMANDS"]


@click.command()
@click.argument("source", metavar="SRC", shell_complete=complete.places)
@click.argument("destination", metavar="DST", shell_complete=complete.places)
@click.option(
    "-c",
    "--container",
    metavar="NAME",
    shell_complete=complete.containers,
    help="Which of the pod's containers  [default: its first]",
)
@lab_name
def cp(source: str, destination: str, container: str | None, name: str) -> int:
    """Copy a file or folder onto a machine or pod, or from there.

    One of SRC and DST is NODE:PATH or POD:PATH, the other a path here. Where it goes is as with `docker cp`:
    into DST if that is a folder, else it is called DST; SRC/. is what is in a folder. Bytes, modes and times
    are kept; what is copied there is root's.
    """
    places = read_place(source), read_place(destination)
    copy(Lab.get(Engine.connect(), name), *places, container)
    return 0


COMMANDS = (cp,)
