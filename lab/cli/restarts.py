"""The verb that restarts machines: restart."""

import click

from lab import checks, render
from lab.bundle.destination import Destination
from lab.cli import complete
from lab.cli.bundles import bundle_option, explain
from lab.cli.common import as_json, echo, lab_name, print_json
from lab.cli.explaining import tell_why_checks_fail
from lab.cluster import Lab
from lab.cluster.restart import restart
from lab.engine import Engine
from lab.progress import on_terminal
from lab.render import documents
from lab.streams import width

__all__ = ["COMMANDS"]


@click.command(name="restart")
@click.argument("nodes", metavar="NODE...", nargs=-1, required=True, shell_complete=complete.target_nodes)
@click.option("--hard", is_flag=True, help="Without a shutdown: they lose their power first.")
@bundle_option
@lab_name
@as_json
def restart_(nodes: tuple[str, ...], hard: bool, into: Destination | None, name: str, json_: bool) -> int:
    """Restart machines, and wait until their services and pods run and every check holds.

    NODE may also be minions, etcd or all, or a pattern with *. Several are restarted at the same time. One
    that is paused or down is up then, too. Exits with 1 if a check does not hold afterwards.
    """
    engine = Engine.connect()
    with on_terminal() as progress:
        findings = restart(Lab.get(engine, name), nodes, progress, hard=hard)
    lab = Lab.get(engine, name)
    left_out = checks.left_out(lab.spec)
    if json_:
        print_json(documents.check(findings, left_out))
    else:
        echo(render.findings(findings, left_out, failures=True, width=width()))
    if not checks.failed(findings):
        return 0
    tell_why_checks_fail(lab)
    if into is not None:
        with on_terminal() as progress:
            why = f"After lab restart {' '.join(nodes)} not every check holds."
            explain(engine, lab.spec, into, progress, why=why, findings=findings)
    return 1


COMMANDS = (restart_,)
