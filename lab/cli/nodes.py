"""Verbs that talk with one machine: exec, shell, logs."""

import click

from lab.cli import complete
from lab.cli.common import lab_name
from lab.cli.running import Runs, argv, streams
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import Unfit
from lab.exec_streams import connect
from lab.naming import name_option
from lab.suggest import similar

__all__ = ["COMMANDS"]


@click.command(name="exec", cls=Runs)
@click.argument("node", shell_complete=complete.nodes)
@argv
@streams
@lab_name
def exec_(node: str, command: tuple[str, ...], stdin: bool, terminal: bool, name: str) -> int:
    """Run a command on a machine.

    All that follows its first word is the command's, options too; no shell looks at it. Output and exit
    status are the command's own.
    """
    machine = Lab.get(Engine.connect(), name).node(node)
    return connect(machine, command, stdin=stdin, terminal=terminal)


@click.command()
@click.argument("node", shell_complete=complete.nodes)
@lab_name
def shell(node: str, name: str) -> int:
    """Open a shell on a machine."""
    machine = Lab.get(Engine.connect(), name).node(node)
    return connect(machine, ["bash", "--login"], stdin=True, terminal=True)


@click.command()
@click.argument("node", shell_complete=complete.nodes)
@click.argument("unit", required=False, shell_complete=complete.units)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@lab_name
def logs(node: str, unit: str | None, follow: bool, name: str) -> int:
    """Show a machine's log, or that of one unit (flanneld, docker, etcd)."""
    machine = Lab.get(Engine.connect(), name).node(node)
    options = ["--no-pager", *(["--unit", unit] if unit else [])]
    if unit and not machine.knows_unit(unit):
        near = similar(unit, machine.units())
        see = f"; see: lab exec{name_option(name)} {node} -- systemctl list-units"
        raise Unfit(f"{node} has no unit {unit}{near or see}")
    following = ["--follow", "--no-tail"] if follow else []
    return connect(machine, ["journalctl", *following, *options])


COMMANDS = (exec_, shell, logs)
