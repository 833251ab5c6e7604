"""A report for a browser: what all of it comes to, then part by part. Pure."""

from collections.abc import Iterator

from lab.bundle.redact import MARK
from lab.page.markup import Markup, Writer, document
from lab.page.parts import contents
from lab.page.style import STYLE
from lab.report.model import Report
from lab.report.of_files import bench, bundles, soak, timings
from lab.report.of_lab import checks, topology, tutorial
from lab.report.style import REPORT_STYLE
from lab.report.verdict import Verdict, verdicts
from lab.tutorial.page import STEPS_STYLE

__all__ = ["page"]

SECTIONS = {
    "topology": "Topology",
    "checks": "Checks",
    "tutorial": "The tutorial, replayed",
    "timings": "Timings by phase",
    "soak": "Soak's time line",
    "bundles": "Bundles",
    "bench": "Benchmark",
}

SIGNS = {True: ("✓", "good"), False: ("✗", "bad"), None: ("·", "quiet")}


def page(report: Report, write: Writer) -> str:
    """The whole page."""
    title = f"Report on the lab {report.lab}"
    return document(
        title,
        STYLE + STEPS_STYLE + REPORT_STYLE,
        contents(write, "Sections", SECTIONS, "To the report"),
        write(
            "main",
            write("h1", title),
            write("p", f"Written at {report.at:%Y-%m-%d %H:%M:%S} UTC by overlay-lab {report.version}."),
            write("ul", *(_verdict(write, each) for each in verdicts(report)), class_="verdicts"),
            *_sections(write, report),
            write("p", f"Passwords and keys are replaced by {MARK}.", class_="quiet"),
            id="main",
        ),
    )


def _verdict(write: Writer, found: Verdict) -> Markup:
    sign, kind = SIGNS[found.ok]
    named = write("a", found.title, href=f"#{found.part}")
    words = write("span", f": {found.words}", class_="bad" if found.ok is False else "")
    return write("li", write("span", sign, class_=f"sign {kind}"), named, words)


def _sections(write: Writer, report: Report) -> Iterator[Markup]:
    parts = {
        "topology": topology(write, report.topology),
        "checks": checks(write, report.checks),
        "tutorial": tutorial(write, report.replay),
        "timings": timings(write, report.timings),
        "soak": soak(write, report.soak),
        "bundles": bundles(write, report.bundles),
        "bench": bench(write, report.bench),
    }
    for part, title in SECTIONS.items():
        yield write("section", write("h2", title, id=part), *parts[part])
