"""Verbs that make and remove whole labs: up, down, gc."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import click

from lab import checks, host, render, spec
from lab.bundle.destination import Destination
from lab.cli import complete
from lab.cli.bundles import bundle_option, explain, witness_for
from lab.cli.common import as_json, default_lab, echo, file_option, given, lab_name, print_json
from lab.cli.explaining import tell_why, tell_why_checks_fail, telling_why
from lab.cluster import lifecycle
from lab.engine import Engine, EngineUnavailable
from lab.errors import LabError, Unfit
from lab.events import JsonLines, Kept, Listener, Reporter
from lab.progress import on_terminal
from lab.render import documents
from lab.spec import LabSpec
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@file_option(
    "-f",
    "--file",
    "file",
    what="A lab file; without it, the tutorial's cluster.",
)
@click.option(
    "--name",
    metavar="LAB",
    callback=given("--name", spec.lab_name),
    shell_complete=complete.labs,
    help="The lab's name  [default: the file's, $LAB_NAME, or tutorial]",
)
@click.option(
    "--underlay",
    metavar="NETWORK",
    callback=given("--underlay", spec.underlay_network),
    help="The machines' network, a /24  [default: the file's; else 192.168.199.0/24 for tutorial, "
    "for others the first from 192.168.200.0/24 that is free]",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@click.option(
    "--retain", is_flag=True, help="When something fails, leave everything as it is for inspection."
)
@file_option(
    "--events",
    what="Write each event to a file at once, a JSON object per line.",
)
@bundle_option
@as_json
def up(
    file: Path | None,
    name: str | None,
    underlay: IPv4Network | None,
    dry_run: bool,
    retain: bool,
    events: Path | None,
    into: Destination | None,
    json_: bool,
) -> int:
    """Bring up a whole lab and prove that it works.

    Installs and starts a Docker engine where none answers (as root on Debian or Ubuntu), builds missing
    or stale images, starts the machines and the pods, and runs every check of `lab check`. On a lab that
    is up it changes nothing and says so.
    """
    default = name or default_lab()
    if file is None:
        wanted = spec.load("{}", "the tutorial's cluster", name=default, underlay=underlay)
    else:
        wanted = spec.load_file(file, default_name=default, name=name, underlay=underlay)
    if dry_run:
        steps, found = lifecycle.foresee(wanted)
        if found:
            click.echo(found, err=True)
        if json_:
            print_json(documents.plan((step.name, step.needs, step.action.describe()) for step in steps))
        else:
            echo(render.plan(steps, width=width()))
        return 0
    kept = Kept()
    with _listeners(events) as listeners, on_terminal(kept, *listeners) as progress:
        engine = _engine(wanted, progress)
        witness = telling_why(engine, wanted, witness_for(engine, wanted, into, kept))
        outcome = lifecycle.up(engine, wanted, progress, retain=retain, witness=witness)
    if json_:
        print_json(documents.up(outcome.lab.spec, outcome.made, outcome.findings))
    else:
        if not outcome.made:
            made = f"The lab {outcome.lab.name} is up already, made by {outcome.lab.maker}"
            echo(f"{made}; nothing was changed.")
        echo(render.up(outcome.lab, outcome.findings, width=width()))
    if not checks.failed(outcome.findings):
        return 0
    tell_why_checks_fail(outcome.lab)
    if into is not None:
        with on_terminal() as progress:
            why = "lab up has found that not every check holds."
            explain(engine, wanted, into, progress, why=why, findings=outcome.findings, events=kept.events)
    return 1


def _engine(wanted: LabSpec, progress: Reporter) -> Engine:
    """The engine; where none can be had, the error says what of this host may explain it."""
    try:
        return host.ensure_engine(progress)
    except LabError as error:
        tell_why(error, EngineUnavailable(error.message, hint=error.hint), wanted)
        raise


@contextmanager
def _listeners(events: Path | None) -> Iterator[Sequence[Listener]]:
    """The listeners besides the terminal."""
    if events is None:
        yield ()
        return
    try:
        stream = events.open("wb", buffering=0)
    except OSError as error:
        raise Unfit(f"--events: {events} cannot be written: {error.strerror}") from error
    with stream:
        lines = JsonLines(stream)
        yield (lines,)
    if lines.lost is not None:
        raise LabError(f"--events: {events} cannot be written to its end: {lines.lost.strerror}")


@click.command()
@click.option("--force", is_flag=True, help="Even if somebody else made it, and without asking.")
@lab_name
@as_json
def down(name: str, force: bool, json_: bool) -> int:
    """Remove a lab: containers, network and volumes.

    Images and the seed volume stay as caches. A lab that another user made, or that was made on another
    machine, is removed only after confirmation on a terminal, or with --force.
    """
    engine = Engine.connect()
    if not force and sys.stdin.isatty() and (maker := lifecycle.another_maker(engine, name)) is not None:
        force = click.confirm(f"{maker} has made the lab {name}. Remove it?", err=True)
        if not force:
            raise LabError(f"the lab {name} stays as it is")
    removed = lifecycle.down(engine, name, force=force)
    if json_:
        print_json(documents.removed(removed))
    else:
        echo(
            "\n".join(f"removed {item}" for item in removed) or f"There is no lab {name}: nothing to remove."
        )
    return 0


@click.command()
@as_json
def gc(json_: bool) -> int:
    """Remove what a killed run left behind, and list it. A lab that is up, or being made, is not touched."""
    removed = lifecycle.gc(Engine.connect())
    if json_:
        print_json(documents.removed(removed))
    else:
        echo("\n".join(f"removed {item}" for item in removed) or "Nothing was left over.")
    return 0


COMMANDS = (up, down, gc)
