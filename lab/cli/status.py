"""Verbs that show which labs there are, and how one is doing: ls, status.

They are asked often, and for a moment. What makes labs is not loaded for them, and what reads the machines'
answers is loaded while these get ready to give them.
"""

import click

from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cli.loading import further_modules
from lab.engine import Engine
from lab.errors import LabError, Unfit
from lab.labels import NAME, NODE
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command()
@as_json
def ls(json_: bool) -> int:
    """List the labs."""
    with further_modules():
        from lab import render, status

    found = status.labs(Engine.connect())
    if json_:
        from lab.render import documents

        print_json(documents.labs(found))
    else:
        echo(render.labs(found, width=width()))
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
        from lab.cli.watch import watch

        watch(lambda: _status(engine, name))
    engine.meet([f"{NAME}={name}", NODE])
    with further_modules():
        from lab import render, status
        from lab.cluster import Lab

    lab = Lab.get(engine, name)
    seen = status.look(lab)
    nodes, pods = status.nodes(seen), seen.pods
    if json_:
        from lab.render import documents

        print_json(documents.status(name, lab.complete, nodes, pods))
    else:
        echo(render.status(nodes, pods, width=width()))
    if not lab.complete:
        raise LabError(
            f"the lab {name} is not finished", hint="It is being made, or its maker was killed: lab gc"
        )
    return 0 if all(node.ok for node in nodes) else 1


def _status(engine: Engine, name: str) -> str:
    from lab import render, status
    from lab.cluster import Lab

    lab = Lab.get(engine, name)
    seen = status.look(lab)
    text = render.status(status.nodes(seen), seen.pods, width=width())
    return text if lab.complete else f"{text}\n\nThe lab {name} is not finished."


COMMANDS = (ls, status_)
