"""Verbs about faults: fault ls, start, stop, clear, status."""

import click

from lab import wait
from lab.cli import complete
from lab.cli.common import as_json, echo, given, lab_name, print_json
from lab.cli.verbs import Group
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import Unfit
from lab.faults import control
from lab.faults.control import Started
from lab.faults.options import duration
from lab.faults.registry import every_fault, fault_named
from lab.naming import name_option
from lab.render import faults as render
from lab.signals import shielded
from lab.streams import width

__all__ = ["COMMANDS"]


@click.group(cls=Group)
def fault() -> None:
    """Break a lab on purpose, see what is in force, and make it right again."""


@fault.command()
@click.argument("fault_name", metavar="[NAME]", required=False, shell_complete=complete.faults)
@as_json
def ls(fault_name: str | None, json_: bool) -> int:
    """List the faults; or one, with its options."""
    every = every_fault() if fault_name is None else (fault_named(fault_name),)
    if json_:
        print_json(render.document_of_faults(every))
    elif fault_name is None:
        echo(render.faults(every, width=width()))
    else:
        echo(render.fault(every[0]))
    return 0


# Options that it does not know are the fault's own, wherever they stand.
@fault.command(cls=complete.WithFaultsOptions, context_settings={"ignore_unknown_options": True})
@click.argument("fault_name", metavar="NAME", shell_complete=complete.faults)
@click.argument(
    "words",
    metavar="[TARGET...] [OPTIONS]",
    nargs=-1,
    type=click.UNPROCESSED,
    shell_complete=complete.targets,
)
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=given("--for", duration),
    help="End it after this time, such as 30s, or on Ctrl-C.",
)
@lab_name
@as_json
def start(fault_name: str, words: tuple[str, ...], seconds: float | None, name: str, json_: bool) -> int:
    """Start a fault that lasts, or do one that is done at once.

    `lab fault ls` lists the faults, `lab fault ls NAME` one with its targets and options. A state stays until
    `lab fault stop` or `clear`, also when this command is killed; with --for this command waits, and ends it.
    """
    wanted = fault_named(fault_name)
    targets, options = wanted.words(words)
    if seconds is not None and wanted.kind == "event":
        raise Unfit(f"--for: {fault_name} is an event, which is over when it is done")
    lab = Lab.get(Engine.connect(), name)
    if seconds is None:
        with shielded():
            _tell(control.start(lab, fault_name, targets, options), name, json_)
        return 0
    with control.held(lab, fault_name, targets, options) as started:
        _tell(started, name, json_)
        wait.passing(seconds)
    return 0


def _tell(started: Started, lab: str, json_: bool) -> None:
    item = started.fault
    if json_:
        print_json(
            render.document_of_started(item, started.id, started.targets, started.options, started.told)
        )
        return
    echo(render.started(item.name, started.id, started.told))
    if item.kind == "state":
        ended = started.id or " ".join([item.name, *started.targets])
        click.echo(f"End it with: lab fault stop{name_option(lab)} {ended}", err=True)


@fault.command()
@click.argument("what", metavar="NAME|ID", shell_complete=complete.states)
@click.argument("targets", metavar="[TARGET...]", nargs=-1, shell_complete=complete.targets)
@lab_name
@as_json
def stop(what: str, targets: tuple[str, ...], name: str, json_: bool) -> int:
    """End a fault, by its name or by the ID that it was started with."""
    lab = Lab.get(Engine.connect(), name)
    with shielded():
        found = control.stop(lab, what, targets)
    print_json(render.document_of_ended(found)) if json_ else echo(render.ended(found))
    return 0


@fault.command()
@lab_name
@as_json
def clear(name: str, json_: bool) -> int:
    """End every fault, the latest first."""
    lab = Lab.get(Engine.connect(), name)
    with shielded():
        found = control.clear(lab)
    print_json(render.document_of_ended(found)) if json_ else echo(render.ended(found))
    return 0


@fault.command()
@lab_name
@as_json
def status(name: str, json_: bool) -> int:
    """Show which faults are in force, as the machines themselves show it.

    Exits with 1 if a machine that runs does not tell.
    """
    lab = Lab.get(Engine.connect(), name)
    found = control.status(lab)
    if json_:
        print_json(render.document_of_status(name, found))
    else:
        echo(render.in_force(found, width=width()))
    silent = {node: why for node, why in found.silent.items() if lab.state(node) == "running"}
    for node, why in silent.items():
        click.echo(f"lab: which faults {node} has is not known: {why}", err=True)
    return 1 if silent else 0


COMMANDS = (fault,)
