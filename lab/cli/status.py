"""Verbs that show which labs there are, and how one is doing: ls, status.

They are asked often, and for a moment: what makes labs is not loaded for them.
"""

import click

from lab import render, status
from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cli.watch import watch
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.render import documents
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@as_json
def ls(json_: bool) -> int:
    """List the labs."""
    found = status.labs(Engine.connect())
    print_json(documents.labs(found)) if json_ else echo(render.labs(found, width=width()))
    return 0


@click.command(name="status")
@click.option("-w", "--watch", "again", is_flag=True, help="Draw it anew on the terminal until Ctrl-C.")
@lab_name
@as_json
def status_(again: bool, name: str, json_: bool) -> int:
    """Show a lab's machines with their services and leases, and its pods."""
    engine = Engine.connect()
    if again:
        if json_:
            raise Unfit("--watch and --json cannot be given together")
        watch(lambda: _status(engine, name))
    lab = Lab.get(engine, name)
    seen = status.look(lab)
    nodes, pods = status.nodes(seen), seen.pods
    if json_:
        print_json(documents.status(name, lab.complete, nodes, pods))
    else:
        echo(render.status(nodes, pods, width=width()))
    if not lab.complete:
        raise LabError(
            f"the lab {name} is not finished", hint="It is being made, or its maker was killed: lab gc"
        )
    return 0 if all(node.ok for node in nodes) else 1


def _status(engine: Engine, name: str) -> str:
    lab = Lab.get(engine, name)
    seen = status.look(lab)
    text = render.status(status.nodes(seen), seen.pods, width=width())
    return text if lab.complete else f"{text}\n\nThe lab {name} is not finished."


COMMANDS = (ls, status_)
