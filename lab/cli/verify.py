"""Verbs that prove: check, tutorial."""

from datetime import UTC, datetime
from pathlib import Path

import click

from lab import checks, render, tutorial
from lab.bundle.destination import Destination
from lab.bundle.secrets import secrets_of
from lab.cli import complete
from lab.cli.bundles import bundle_option, explain
from lab.cli.common import Choice, as_json, echo, file_option, lab_name, print_json, write_text
from lab.cluster import Lab
from lab.engine import Engine
from lab.errors import Unfit
from lab.page.markup import Writer
from lab.progress import on_terminal
from lab.render import documents
from lab.streams import width
from lab.tutorial.page import page
from lab.tutorial.words import LANGUAGES, Language

__all__ = ["COMMANDS"]


@click.command()
@click.option("--failed", "failures", is_flag=True, help="Show only the checks that do not hold.")
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    shell_complete=complete.checks,
    help="Only this check, such as leases.value or 'login.*', and node.answers; may be repeated.",
)
@bundle_option
@lab_name
@as_json
def check(name: str, failures: bool, only: tuple[str, ...], into: Destination | None, json_: bool) -> int:
    """Compare a lab with what the tutorial and flannel say it must be; expected against seen."""
    lab = Lab.get(Engine.connect(), name)
    findings = checks.run_all(lab, only)
    left_out = () if only else checks.left_out(lab.spec)
    if json_:
        print_json(documents.check(findings, left_out, failures=failures))
    else:
        echo(render.findings(findings, left_out, failures=failures, width=width()))
    if not checks.failed(findings):
        return 0
    if into is not None:
        with on_terminal() as progress:
            why = "lab check has found that not every check holds."
            explain(lab.engine, lab.spec, into, progress, why=why, findings=findings)
    return 1


@click.command(name="tutorial")
@file_option(
    "--report",
    what="Also write a page that shows the document's text, commands and output beside the real ones.",
)
@click.option(
    "--language",
    type=Choice(LANGUAGES),
    help="Of the page: en, or zh for Chinese.  [default: en]",
)
@lab_name
@as_json
def tutorial_(name: str, report: Path | None, language: Language | None, json_: bool) -> int:
    """Replay the tutorial on a lab that is up: each command, its real output, and whether it agrees.

    With --report FILE there is a page as well, one file of HTML: each step of the document beside what was
    run and printed, with what is the same, the same but for addresses, or different, and why.
    """
    if language is not None and report is None:
        raise Unfit("--language is of the page, which --report FILE asks for")
    lab = Lab.get(Engine.connect(), name)
    at, results = datetime.now(UTC), []
    for result in tutorial.replay(lab):
        results.append(result)
        if not json_:
            echo(render.step(result, width=width()))
    if json_:
        print_json(documents.tutorial(results))
    else:
        echo(render.replay_summary(results))
    if report is not None:
        write = Writer(secrets_of(lab).text)
        write_text("--report", report, page(results, name, at, write, language or "en"))
    return 0 if all(result.ok for result in results) else 1


COMMANDS = (check, tutorial_)
