"""A report in a few lines of Markdown, as GitHub shows it in a job's page. Pure.

What the lab has said is text: whatever in it could be Markdown or HTML is escaped.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from lab.checks.finding import failed
from lab.report.model import Absent, Report
from lab.report.verdict import verdicts

__all__ = ["ROWS", "summary"]

ROWS = 50
"""Of a table of what is wrong; the page has all of it."""

LONGEST = 300
"""Characters of a cell."""

SIGNS = {True: "✅", False: "❌", None: "⚪"}

SPECIAL = re.compile(r"([\\`*_{}\[\]()#|~$@]|:(?=//))")
"""What may mean something in GitHub's Markdown, its mentions and its links included."""


def summary(report: Report, hide: Callable[[str], str] = str) -> str:
    """What each part comes to, what is wrong, and the timings."""
    lines = [f"## Lab {_text(report.lab, hide)}", ""]
    lines += [f"- {SIGNS[it.ok]} **{it.title}**: {_text(it.words, hide)}" for it in verdicts(report)]
    for title, table in _tables(report, hide):
        lines += ["", f"### {title}", "", *table]
    return "\n".join(lines) + "\n"


def _tables(report: Report, hide: Callable[[str], str]) -> Iterator[tuple[str, Sequence[str]]]:
    if not isinstance(report.checks, Absent) and (wrong := failed(report.checks.findings)):
        rows = [[it.id, f"{it.title} of {it.subject}", it.expected.text, it.seen.text] for it in wrong]
        yield "Checks that do not hold", _table(["Identifier", "Check", "Expected", "Seen"], rows, hide)
    if not isinstance(report.replay, Absent):
        steps = [
            [result.section, result.node, it.what.en, it.expected, it.seen]
            for result in report.replay
            for it in result.shown
            if not it.ok
        ]
        if steps:
            header = ["Section", "On", "What", "Expected", "Seen"]
            yield "Steps of the tutorial that differ", _table(header, steps, hide)
    if not isinstance(report.timings, Absent) and report.timings.phases:
        times = [
            [each.title, f"{each.began:.1f} s", f"{each.seconds:.1f} s", "" if each.well else "not done"]
            for each in report.timings.phases
        ]
        yield "Timings by phase", _table(["Phase", "Began", "Took", ""], times, hide)
        if errors := [[it.name, it.error] for it in report.timings.failed]:
            yield "Steps of lab up that failed", _table(["Step", "Error"], errors, hide)
    if not isinstance(report.soak, Absent):
        found = [
            [str(each.number), it.kind, it.subject, it.expected, it.seen]
            for each in report.soak.rounds
            for it in each.violations
        ]
        if found:
            header = ["Round", "Violation", "Of", "Expected", "Seen"]
            yield "Rounds of lab soak that did not hold", _table(header, found, hide)
    if not isinstance(report.bundles, Absent) and report.bundles:
        about = [[it.file, it.contents.why if it.contents else it.problem] for it in report.bundles]
        yield "Bundles", _table(["File", "About"], about, hide)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], hide: Callable[[str], str]) -> Sequence[str]:
    every = list(rows)
    lines = [_row(header), _row(["---"] * len(header))]
    lines += [_row([_text(cell, hide) for cell in row]) for row in every[:ROWS]]
    return (
        [*lines, "", f"and {len(every) - ROWS} more, all of them in the page"] if len(every) > ROWS else lines
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text(text: str, hide: Callable[[str], str]) -> str:
    """In one line, with nothing in it that means anything; hidden before it is cut, or half of it stays."""
    shown = " ".join(hide(text).split())
    shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 3]}..."
    escaped = SPECIAL.sub(r"\\\1", shown)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
