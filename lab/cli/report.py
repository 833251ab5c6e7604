"""The verb that writes it all down: report."""

from datetime import UTC, datetime
from pathlib import Path

import click

from lab.bundle.destination import VARIABLE, destination
from lab.cli.common import echo, file_option, lab_name, write_text
from lab.errors import LabError, Unfit
from lab.naming import our_version
from lab.page.markup import Writer
from lab.progress import on_terminal
from lab.report.gather import ask
from lab.report.model import Absent, Report
from lab.report.page import page
from lab.report.read import bench_from, bundles_in, soak_from, timings_from
from lab.report.summary import summary as summary_of

__all__ = ["COMMANDS"]


@click.command()
@file_option(
    "-o",
    "--output",
    what="Write the page there; -: to standard output, as without --summary.",
)
@file_option(
    "--summary",
    what="Append a few lines of Markdown to this file, such as $GITHUB_STEP_SUMMARY; -: print them.",
)
@file_option(
    "--events",
    what="What lab up --events has written: timings.",
)
@file_option(
    "--soak",
    what="What lab soak --json has printed: the time line.",
)
@file_option(
    "--bundles",
    metavar="DIR",
    what=f"A folder with bundles, of which there will be an index  [default: ${VARIABLE}, if that is set]",
)
@file_option(
    "--bench",
    what="What lab bench has left, bench.json: the benchmark.",
)
@lab_name
def report(
    output: Path | None,
    summary: Path | None,
    events: Path | None,
    soak: Path | None,
    bundles: Path | None,
    bench: Path | None,
    name: str,
) -> int:
    """Write a report on a lab as one page: topology, checks, tutorial, timings, soak, bundles, benchmark.

    The lab is asked for its topology, for every check, and for the replay of the tutorial; the rest comes
    from files that other verbs have written. What there is nothing for is left out, and the page says how to
    get it: so there is a report also after a lab up that has failed. The page needs nothing but a browser.
    """
    folder = _folder(bundles)
    timings = _not_given("--events FILE") if events is None else timings_from(events)
    played = _not_given("--soak FILE") if soak is None else soak_from(soak)
    measured = _not_given("--bench FILE") if bench is None else bench_from(bench)
    left = _not_given("--bundles DIR") if folder is None else bundles_in(folder)
    at = datetime.now(UTC)
    with on_terminal() as progress:
        asked = ask(name, progress)
    found = Report(
        name, at, our_version(), asked.topology, asked.checks, asked.replay, timings, played, left, measured
    )
    hide = asked.redaction.text
    if output is not None or summary is None:
        _write_page(output, page(found, Writer(hide)))
    if summary is not None:
        _append(summary, summary_of(found, hide))
    return 0


def _not_given(option: str) -> Absent:
    return Absent(f"{option} was not given.")


def _folder(bundles: Path | None) -> Path | None:
    if bundles is not None:
        if not bundles.is_dir():
            raise Unfit(f"--bundles: {bundles} is no folder")
        return bundles
    named = destination(None)
    return named.path if named is not None else None


def _write_page(output: Path | None, text: str) -> None:
    if output is None or str(output) == "-":
        echo(text.rstrip("\n"))
    else:
        write_text("--output", output, text)


def _append(file: Path, text: str) -> None:
    """GitHub's file has what other steps of the job have written."""
    if str(file) == "-":
        echo(text.rstrip("\n"))
        return
    try:
        with file.open("a", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise LabError(f"--summary: {file} cannot be written: {error.strerror}") from error


COMMANDS = (report,)
