"""The verb that explains: bundle; and the option by which others leave a bundle when something is wrong."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from lab import render
from lab.bundle.collect import collect
from lab.bundle.destination import VARIABLE, Destination, destination
from lab.checks import Finding
from lab.cli import complete
from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cluster import Lab
from lab.cluster.lifecycle import Witness
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Kept, Reporter
from lab.progress import on_terminal
from lab.spec import LabSpec

__all__ = ["COMMANDS", "bundle_option", "explain", "witness_for"]

F = TypeVar("F", bound=Callable[..., Any])


def bundle_option(function: F) -> F:
    """The option `--bundle`, the same for every verb that may find something wrong."""
    return click.option(
        "--bundle",
        "into",
        metavar="PATH",
        callback=_destination,
        shell_complete=complete.files,
        help="When something is not right, write what `lab bundle` does: to this file, or into this folder  "
        f"[default: the folder ${VARIABLE}, if that is set]",
    )(function)


def _destination(_context: click.Context, _option: click.Parameter, value: str | None) -> Destination | None:
    return destination(value)


def explain(
    engine: Engine,
    spec: LabSpec,
    into: Destination,
    progress: Reporter,
    *,
    why: str,
    findings: Sequence[Finding] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    extra: Mapping[str, str] | None = None,
) -> None:
    """Leave a bundle about what is not right, and say where; where that fails, what was found counts more."""
    try:
        made = collect(engine, spec, into, progress, why=why, findings=findings, events=events, extra=extra)
    except LabError as error:
        progress.note(f"there is no bundle: {error.message}")
    else:
        progress.note(f"all that is known of it is in {made['file']}")


def witness_for(engine: Engine, spec: LabSpec, into: Destination | None, kept: Kept) -> Witness | None:
    """Who leaves a bundle about a step of `lab up` that has failed; None if nobody wants one."""
    if into is None:
        return None

    def witness(error: Exception, progress: Reporter) -> None:
        seen = error.message if isinstance(error, LabError) else f"{type(error).__name__}: {error}"
        with progress.step("collect a bundle of what there is"):
            why = f"lab up has failed: {seen}"
            made = collect(engine, spec, into, progress, why=why, events=kept.events)
        error.add_note(f"All that is known of it is in {made['file']}")

    return witness


@click.command()
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    shell_complete=complete.files,
    help="The file, or a folder in which the bundle gets a name of its own  "
    f"[default: the folder ${VARIABLE}, or this one]",
)
@lab_name
@as_json
def bundle(output: str | None, name: str, json_: bool) -> int:
    """Write all that is known of a lab into one archive, without its passwords.

    Addresses, routes, packet filters, logs, etcd's keys, containers, versions, and every check: a tar.gz
    with a page, index.html, for a person. A machine that does not answer is in it as such.
    """
    lab = Lab.get(Engine.connect(), name)
    into = destination(output) or Destination(Path(), folder=True)
    with on_terminal() as progress:
        made = collect(lab.engine, lab.spec, into, progress, why="Somebody has asked for it: lab bundle.")
    print_json(made) if json_ else echo(render.bundle(made))
    return 0


COMMANDS = (bundle,)
