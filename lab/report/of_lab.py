"""The sections that the lab itself has answered: topology, checks, the tutorial. Pure."""

from collections.abc import Iterator

from lab.checks.finding import Kind, failed
from lab.graph.model import Graph
from lab.graph.svg import svg
from lab.page.markup import Markup, Writer
from lab.page.parts import scrolling, table
from lab.report.model import Absent, Checked
from lab.report.parts import absent
from lab.tutorial.page import counted, step
from lab.tutorial.step import StepResult

__all__ = ["checks", "topology", "tutorial"]

MARKS = {
    Kind.PASS: ("✓ holds", "good number"),
    Kind.FAIL: ("✗ failed", "bad number"),
    Kind.UNKNOWN: ("? unknown", "bad number"),
}


def topology(write: Writer, graph: Graph | Absent) -> Iterator[Markup]:
    """The picture, and the same as a table, for who cannot see it."""
    if isinstance(graph, Absent):
        yield absent(write, graph)
        return
    yield scrolling(write, "Picture of the lab", Markup(svg(graph)))
    several = any(graph.engines)
    rows = [
        [
            machine.name,
            *([machine.engine] if several else []),
            ", ".join(machine.services),
            "\n".join(
                f"{port.device} on {port.network}: {', '.join(port.addresses)}" for port in machine.ports
            ),
            "\n".join(machine.notes),
            "\n".join(" ".join((pod.name, *pod.addresses, pod.note)).rstrip() for pod in machine.pods),
        ]
        for machine in graph.machines
    ]
    headed = ["Engine"] if several else []
    yield write(
        "details",
        write("summary", "The same as a table"),
        *(write("p", note) for note in graph.notes),
        table(write, ["Machine", *headed, "Services", "Addresses", "Notes", "Pods"], rows),
    )


def checks(write: Writer, found: Checked | Absent) -> Iterator[Markup]:
    """Those that do not hold; then all of them, folded."""
    if isinstance(found, Absent):
        yield absent(write, found)
        return
    wrong = failed(found.findings)
    if wrong:
        yield write("p", f"{len(wrong)} of {len(found.findings)} checks do not hold.", class_="bad")
        yield _findings(write, Checked(tuple(wrong)))
    else:
        yield write("p", f"All {len(found.findings)} checks hold.", class_="good")
    yield from (write("p", str(item), class_="quiet") for item in found.left_out)
    yield write("details", write("summary", "Every check"), _findings(write, found))


def _findings(write: Writer, found: Checked) -> Markup:
    rows = [
        [
            write("span", MARKS[item.kind][0], class_=MARKS[item.kind][1]),
            write("code", item.id),
            " ".join(filter(None, (item.title, "of", str(item.subject)))),
            item.expected.text.rstrip("\n"),
            "the same" if item.ok and item.seen.text == item.expected.text else item.seen.text.rstrip("\n"),
        ]
        for item in found.findings
    ]
    return table(write, ["", "Identifier", "Check", "Expected", "Seen"], rows)


def tutorial(write: Writer, results: tuple[StepResult, ...] | Absent) -> Iterator[Markup]:
    """Each step, folded unless it is wrong."""
    if isinstance(results, Absent):
        yield absent(write, results)
        return
    yield counted(results, write)
    for result in results:
        if not result.ok:
            yield step(result, write)
    steps = [step(result, write) for result in results]
    yield write("details", write("summary", f"All {len(results)} steps, side by side"), *steps)
