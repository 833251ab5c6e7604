"""Verbs about the engines of a lab that is spread over several."""

from collections.abc import Sequence
from pathlib import Path

import click

from lab import spec
from lab.cli.common import default_lab, echo, file_option
from lab.cli.verbs import Group
from lab.cluster.fleet import Fleet
from lab.engine import Engine, swarm
from lab.errors import LabError, Unfit
from lab.render.text import table
from lab.spec.engine import EngineSpec, label_words
from lab.streams import width

__all__ = ["COMMANDS", "engines_of"]

FILE = file_option("-f", "--file", "file", what="The lab file that names them.", required=True)


@click.group(cls=Group)
def engines() -> None:
    """The Docker engines of a lab that is spread over several: see them, and make them one swarm."""


@engines.command()
@FILE
def ls(file: Path) -> int:
    """List a lab file's engines with their labels, and the swarm that each is in."""
    wanted = engines_of(file)
    fleet = Fleet.of(Engine.connect(), wanted)
    members = fleet.members()
    labels = {engine.name: label_words(engine.labels) or "-" for engine in wanted}
    rows = []
    for name, found in members.items():
        kind = ("manager" if found.manages else "worker") if found.node else "in none"
        host = str(fleet.engine(name).endpoint)
        rows.append([name, host, labels[name], kind, found.address or "-", found.node or "-"])
    rows += [
        [name, "-", labels[name], f"does not answer: {error.message}", "-", "-"]
        for name, error in fleet.silent.items()
    ]
    echo(table(["ENGINE", "HOST", "LABELS", "SWARM", "ADDRESS", "NODE"], rows, width()))
    return 1 if fleet.silent or list(swarm.problems(fleet.name_of_home, members)) else 0


@engines.command()
@FILE
@click.option("--address", default="", help="The manager's, by which the others reach it, if it has several.")
@click.option("--yes", is_flag=True, help="Without asking.")
def join(file: Path, address: str, yes: bool) -> int:
    """Make a lab file's engines one swarm, after asking. One that is in another swarm is left in it.

    A swarm opens TCP 2377, TCP and UDP 7946 and UDP 4789 on each engine's machine. An engine leaves it again
    by Docker's own means.
    """
    fleet = Fleet.of(Engine.connect(), engines_of(file))
    fleet.require_all()
    members, home = fleet.members(), fleet.name_of_home
    names = swarm.to_join(home, members)
    if not names:
        fleet.require_whole()
        echo("They are one swarm already.")
        return 0
    if not yes and not click.confirm(f"Have {' and '.join(names)} join one swarm?", err=True):
        raise LabError("the engines stay as they are")
    for name in names:
        engine = fleet.engine(name)
        engine.begin_swarm(address) if name == home else engine.join_swarm(fleet.home)
        echo(f"{name} {'has begun a swarm' if name == home else 'has joined'}")
    fleet.require_whole()
    return 0


def engines_of(file: Path) -> Sequence[EngineSpec]:
    """The engines that a lab file names. Raises `Unfit` if it names none."""
    wanted = spec.load_file(file, default_name=default_lab())
    if not wanted.engines:
        raise Unfit(f"{file} names no engines", hint="What they are: docs/lab.md, Several engines")
    return wanted.engines


COMMANDS = (engines,)
