"""The sections that are read from files: timings, soak's time line, bundles, the benchmark. Pure."""

from collections.abc import Iterator, Sequence

from lab.bench.figures import Metric
from lab.page.markup import Markup, Writer
from lab.page.parts import scrolling, table
from lab.report.documents import Bench, Round, Soak, Target
from lab.report.model import Absent, Indexed
from lab.report.parts import absent, bar
from lab.report.phases import Timings
from lab.report.verdict import HOW

__all__ = ["bench", "bundles", "soak", "timings"]

EVENTS = 400
"""Of a round's time line that the page shows."""

SHOWN_FIRST = Metric.TCP1.value
"""The metric that is drawn as bars."""


def timings(write: Writer, found: Timings | Absent) -> Iterator[Markup]:
    """The phases, and below them every step."""
    if isinstance(found, Absent):
        yield absent(write, found, HOW["timings"])
        return
    if not found.phases:
        yield write("p", "Nothing was done: the lab was up already.")
        return
    whole = found.seconds
    yield write("p", f"lab up: {whole:.1f} s from its first step to its last. Steps of a phase overlap.")
    for step in found.failed:
        yield write("p", f"{step.name} failed: {step.error}", class_="bad")
    rows = [
        [
            phase.title,
            str(len(phase.steps)),
            f"{phase.began:.1f} s",
            f"{phase.seconds:.1f} s",
            bar(write, phase.began, phase.seconds, whole, "" if phase.well else "bad"),
        ]
        for phase in found.phases
    ]
    yield _bars(write, table(write, ["Phase", "Steps", "Began", "Took", "When"], rows))
    rows = [
        [
            step.name,
            step.outcome,
            f"{step.began:.2f} s",
            f"{step.seconds:.2f} s",
            bar(write, step.began, step.seconds, whole, "" if step.outcome == "done" else "bad"),
        ]
        for phase in found.phases
        for step in phase.steps
    ]
    steps = table(write, ["Step", "Outcome", "Began", "Took", "When"], rows)
    yield write("details", write("summary", "Every step"), _bars(write, steps))


def _bars(write: Writer, found: Markup) -> Markup:
    return write("div", found, class_="bars")


def soak(write: Writer, found: Soak | Absent) -> Iterator[Markup]:
    """Each round: its faults in time, and of one that did not hold what, and what happened."""
    if isinstance(found, Absent):
        yield absent(write, found, HOW["soak"])
        return
    seed = f"Drawn from the seed {found.seed}." if found.seed is not None else "A schedule was replayed."
    yield write("p", f"{len(found.rounds)} rounds. {seed}")
    for each in found.rounds:
        yield from _round(write, each)


def _round(write: Writer, found: Round) -> Iterator[Markup]:
    words, kind = ("held", "good") if found.held else ("did not hold", "bad")
    yield write("h3", f"Round {found.number} ", write("span", words, class_=kind))
    if found.violations:
        rows = [[it.kind, it.subject, it.expected, it.seen] for it in found.violations]
        yield table(write, ["Violation", "Of", "Expected", "Seen"], rows)
    ends = [fault.at + (fault.lasts or 0) for fault in found.faults]
    whole = max([*ends, *(event.at for event in found.timeline)], default=0.0)
    rows = [
        [
            fault.words,
            f"{fault.at:.1f} s",
            "at once" if fault.lasts is None else f"{fault.lasts:.1f} s",
            bar(write, fault.at, fault.lasts or 0.0, whole),
        ]
        for fault in found.faults
    ]
    yield _bars(write, table(write, ["Fault", "Began", "Lasted", "When"], rows))
    if found.timeline:
        shown = found.timeline[:EVENTS]
        rows = [[f"{it.at:.2f} s", it.node, it.kind, it.text] for it in shown]
        left = len(found.timeline) - len(shown)
        more = f", of {len(found.timeline)}; all of them are in the file" if left else ""
        yield write(
            "details",
            write("summary", f"What happened: {len(shown)} events{more}"),
            table(write, ["At", "On", "Kind", "What"], rows),
        )
    if found.shortest is not None:
        enough = "; ".join(fault.words for fault in found.shortest)
        yield write("p", f"These are enough for it: {enough}")


def bundles(write: Writer, found: tuple[Indexed, ...] | Absent) -> Iterator[Markup]:
    """What each is about, and which files it has."""
    if isinstance(found, Absent):
        yield absent(write, found, HOW["bundles"])
        return
    if not found:
        yield write(
            "p", "None was left: lab up, lab check and lab soak leave one when something is not right."
        )
        return
    for each in found:
        yield write("h3", each.file)
        yield from _bundle(write, each)


def _bundle(write: Writer, found: Indexed) -> Iterator[Markup]:
    about = found.contents
    if about is None:
        yield write("p", found.problem, class_="bad")
        return
    yield write("p", about.why, class_="why")
    counts = about.checks
    wrong = counts.failed + counts.unknown if counts is not None else 0
    told = [
        f"The lab {about.lab}, at {about.at:%Y-%m-%d %H:%M:%S} UTC; {found.size:,} bytes.",
        "The checks could not be run."
        if counts is None
        else f"{wrong} of {wrong + counts.passed} checks do not hold."
        if wrong
        else f"All {counts.passed} checks hold.",
        *(f"{node.name} has told nothing: {node.silence}" for node in about.nodes if node.silence),
    ]
    yield write("p", " ".join(told))
    rows = [[it.path, f"{it.size:,}", it.command or ""] for it in about.files]
    yield write(
        "details",
        write("summary", f"{len(about.files)} files"),
        table(write, ["File", "Bytes", "Printed by"], rows),
    )


def bench(write: Writer, found: Bench | Absent) -> Iterator[Markup]:
    """The first metric as bars, all as a table for each place, and the targets."""
    if isinstance(found, Absent):
        yield absent(write, found, HOW["bench"])
        return
    machine = "; ".join(f"{name}: {value}" for name, value in found.machine.items())
    yield write("p", f"{found.rounds} rounds of {found.seconds} s. {machine}.")
    for failure in found.failures:
        words = f"Round {failure.round}, {_title(found, failure.way)}, {failure.what}: {failure.reason}"
        yield write("p", words, class_="bad")
    for item in found.integrity:
        if not item.equal:
            words = f"{_title(found, item.way)}, {item.place}: data arrived changed"
            yield write("p", words, class_="bad")
    for way, count in found.checksum_errors.items():
        if count:
            yield write("p", f"{_title(found, way)}: {count} wrong checksums", class_="bad")
    yield from _targets(write, found)
    for place in dict.fromkeys(figure.place for figure in found.figures):
        yield write("h3", place.capitalize())
        yield from _drawn(write, found, place)
        yield scrolling(write, f"Measured {place}", _measured(write, found, place))
    for missing in found.ways:
        if missing.absent:
            yield write("p", f"{missing.title}: not here: {missing.absent}", class_="quiet")


def _title(found: Bench, name: str) -> str:
    return next((way.title for way in found.ways if way.name == name), name)


def _drawn(write: Writer, found: Bench, place: str) -> Iterator[Markup]:
    figures = [it for it in found.figures if it.place == place and it.metric == SHOWN_FIRST]
    whole = max((figure.median for figure in figures), default=0.0)
    rows = [
        [_title(found, it.way), f"{it.median:.3g} {it.unit}", bar(write, 0, it.median, whole)]
        for it in figures
    ]
    if rows:
        yield _bars(write, table(write, ["Way", SHOWN_FIRST, "Beside the others"], rows))


def _measured(write: Writer, found: Bench, place: str) -> Markup:
    """Medians, with the least and the greatest value."""
    figures = {(it.metric, it.way): it for it in found.figures if it.place == place}
    ways = [way for way in found.ways if any(way.name == name for _, name in figures)]
    units = {metric: figure.unit for (metric, _), figure in figures.items()}
    rows = []
    for metric, unit in units.items():
        cells: list[str] = []
        for way in ways:
            it = figures.get((metric, way.name))
            cells.append(f"{it.median:.3g}\n({it.least:.3g} to {it.greatest:.3g})" if it else "")
        rows.append([f"{metric}, {unit}", *cells])
    return table(write, ["Median (least to greatest)", *(way.title for way in ways)], rows)


def _targets(write: Writer, found: Bench) -> Iterator[Markup]:
    """Those that were missed; then all of them, folded."""
    missed = [it for it in found.targets if not it.met]
    if missed:
        yield write("p", f"{len(missed)} of {len(found.targets)} targets were missed.", class_="bad")
        yield _table_of_targets(write, found, missed)
    elif found.targets:
        yield write("p", f"All {len(found.targets)} targets are met.", class_="good")
    if found.targets:
        every = _table_of_targets(write, found, found.targets)
        yield write("details", write("summary", "Every target"), every)


def _table_of_targets(write: Writer, found: Bench, targets: Sequence[Target]) -> Markup:
    rows: list[Sequence[str]] = []
    for it in targets:
        mark = ("✓ met", "good number") if it.met else ("✗ missed", "bad number")
        wanted = (
            f"at least {it.at_least:.3g}" if it.at_least is not None else f"at most {it.at_most or 0:.3g}"
        )
        terms = f"times {_title(found, it.in_terms_of)}" if it.in_terms_of else ""
        rows.append(
            [
                write("span", mark[0], class_=mark[1]),
                _title(found, it.way),
                f"{it.metric}, {it.place}",
                f"{wanted} {terms}".rstrip(),
                f"{it.seen.median:.3g}",
            ]
        )
    return table(write, ["Target", "Way", "Of", "Wanted", "Seen, median"], rows)
