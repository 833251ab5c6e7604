"""The page on top of a bundle, for a person: which checks do not hold, and each machine's files. Pure."""

from collections.abc import Iterable, Sequence

from lab.bundle.markup import Markup, document, element
from lab.bundle.model import Entry, Evidence, Machine
from lab.bundle.redact import MARK, Redaction
from lab.checks.finding import Kind, failed
from lab.observe.model import Silent

__all__ = ["SHOWN", "index"]

SHOWN = 60_000
"""Characters of a file that the page itself shows: of a longer log the last, of other files the first."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; }
h1 { font-size: 1.6em; }
h2 { font-size: 1.25em; margin: 1.8em 0 .4em; }
h3 { font-size: 1em; margin: 1em 0 .2em; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .2em 1em .2em 0; }
th { border-bottom: 1px solid #888; } td { border-bottom: 1px solid #8884; white-space: pre-wrap; }
pre { overflow: auto; max-height: 40em; padding: .6em; background: #8881; font-size: 12.5px; }
summary { cursor: pointer; }
summary code, .quiet { color: #777; }
.bad { color: #c22; font-weight: 600; }
"""

WHAT_IS_REPLACED = f"""
Passwords and keys are replaced by {MARK}. Addresses, host names and what was logged are as they were.
"""


def index(evidence: Evidence, entries: Sequence[Entry], redaction: Redaction) -> str:
    """The page; the entries have been through the redaction, and their contents are texts."""
    return document(
        f"Lab {evidence.spec.name}",
        STYLE,
        element("h1", f"Lab {evidence.spec.name}"),
        element("p", f"Collected at {evidence.at:%Y-%m-%d %H:%M:%S} UTC. ", redaction.text(evidence.why)),
        *_checks(evidence, redaction),
        *_machines(evidence, redaction),
        element("h2", "The whole lab"),
        *_files(entry for entry in entries if not entry.node),
        *(part for machine in evidence.machines for part in _of_machine(machine, entries)),
        element("p", WHAT_IS_REPLACED, class_="quiet"),
    )


def _checks(evidence: Evidence, redaction: Redaction) -> Iterable[Markup]:
    yield element("h2", "Checks")
    if evidence.findings is None:
        yield element("p", "The checks could not be run.", class_="bad")
        return
    wrong = failed(evidence.findings)
    yield element("p", f"{len(evidence.findings) - len(wrong)} of {len(evidence.findings)} checks hold.")
    if wrong:
        words = {Kind.FAIL: "failed", Kind.UNKNOWN: "unknown"}
        rows = [
            [words[item.kind], item.title, str(item.subject), item.expected.text, item.seen.text]
            for item in wrong
        ]
        hidden = [[redaction.text(cell) for cell in row] for row in rows]
        yield _table(["", "Check", "Subject", "Expected", "Seen"], hidden)


def _machines(evidence: Evidence, redaction: Redaction) -> Iterable[Markup]:
    yield element("h2", "Machines")
    rows = []
    for machine in evidence.machines:
        silent = isinstance(machine.answers, Silent)
        told = redaction.text(machine.answers.reason) if isinstance(machine.answers, Silent) else "yes"
        rows.append(
            [
                machine.name,
                " ".join(machine.services),
                machine.address,
                machine.state,
                f"no: {told}" if silent else told,
            ]
        )
    yield _table(["Machine", "Services", "Address", "Container", "Has answered"], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    head = element("tr", *(element("th", cell) for cell in header))
    return element("table", head, *(element("tr", *(element("td", cell) for cell in row)) for row in rows))


def _of_machine(machine: Machine, entries: Sequence[Entry]) -> Iterable[Markup]:
    yield element("h2", machine.name)
    folder = None
    for entry in entries:
        if entry.node == machine.name:
            parts = entry.path.split("/")[2:-1]
            if parts and parts[0] != folder:
                folder = parts[0]
                yield element("h3", folder)
            yield from _files([entry])


def _files(entries: Iterable[Entry]) -> Iterable[Markup]:
    for entry in entries:
        name = entry.path.split("/", 2)[-1] if entry.node else entry.path
        words = [element("a", name, href=entry.path)]
        if entry.command:
            words += [Markup(" "), element("code", _short(entry.command))]
        if entry.status:
            words += [Markup(" "), element("span", f"exit status {entry.status}", class_="bad")]
        text = str(entry.content)
        yield element("details", element("summary", *words), *_text(entry.path, text))


def _text(path: str, text: str) -> Iterable[Markup]:
    if not text.strip():
        yield element("p", "Empty.", class_="quiet")
        return
    if len(text) > SHOWN:
        last = path.endswith(".log")
        where = "last" if last else "first"
        yield element("p", f"The {where} {SHOWN} of {len(text)} characters.", class_="quiet")
        text = text[-SHOWN:] if last else text[:SHOWN]
    yield element("pre", text)


def _short(command: str) -> str:
    return command if len(command) <= 120 else f"{command[:117]}..."
