"""The page on top of a bundle, for a person: what is wrong, the machines, and then every file. Pure."""

from collections.abc import Iterator, Sequence

from lab.bundle.model import Entry, Evidence, Machine
from lab.bundle.redact import MARK, Redaction
from lab.checks.finding import Kind, failed
from lab.observe.model import Silent
from lab.page.markup import Markup, Writer, document, element
from lab.page.parts import table
from lab.page.style import STYLE

__all__ = ["SHOWN", "index"]

SHOWN = 60_000
"""Characters of a file that the page itself shows: of a longer log the last, of other files the first."""

WHAT_IT_IS = """
A lab is a cluster whose machines are containers, with etcd, flanneld and Docker on them, joined by an
overlay network. This is what could be learned of one at that moment. Each file below opens here, and its
name leads to the file itself.
"""

WHAT_IS_REPLACED = f"""
Passwords and keys are replaced by {MARK}. Addresses, host names and what was logged are as they were.
"""

FIRST_TO_READ = ("timeline.log", "faults.txt", "plan.txt")
"""Beside the documents of whoever has asked for the bundle."""

ABOUT = {
    "checks.txt": "every check, expected against seen",
    "events.jsonl": "what lab up reported, an event a line",
    "faults.txt": "what is broken on purpose",
    "journal.log": "the journals of all machines as one, by the clock of their kernel",
    "lab.json": "what the lab was made from",
    "plan.txt": "the steps of lab up",
    "timeline.log": "what services have logged, steps and faults, by the wall clock",
    "versions.json": "of all that the lab was made with",
}

KINDS = {Kind.FAIL: "failed", Kind.UNKNOWN: "unknown"}


def index(evidence: Evidence, entries: Sequence[Entry], redaction: Redaction) -> str:
    """The page; the entries have been through the redaction."""
    of_lab = {entry.path: entry for entry in entries if not entry.node}
    told = [path for path in (*evidence.extra, *FIRST_TO_READ) if path in of_lab]
    return document(
        f"Lab {evidence.spec.name}",
        STYLE,
        element("h1", f"Lab {evidence.spec.name}"),
        element("p", redaction.text(evidence.why), class_="why"),
        element("p", f"Collected at {evidence.at:%Y-%m-%d %H:%M:%S} UTC.", WHAT_IT_IS, class_="quiet"),
        element("section", *_wrong(evidence, redaction), class_="wrong"),
        *_machines(evidence, redaction),
        element("h2", "What happened"),
        *(part for path in told for part in _file(of_lab[path], is_open=path in evidence.extra)),
        element("h2", "The whole lab"),
        *(part for path, entry in of_lab.items() if path not in told for part in _file(entry)),
        *(part for machine in evidence.machines for part in _of_machine(machine, entries)),
        element("p", WHAT_IS_REPLACED, class_="quiet"),
    )


def _wrong(evidence: Evidence, redaction: Redaction) -> Iterator[Markup]:
    """Everything that is not as it should be; what was broken on purpose may explain the checks after it."""
    yield element("h2", "What was wrong at that moment")
    yield from _silent(evidence, redaction)
    yield from _faults(evidence, redaction)
    yield from _checks(evidence, redaction)


def _silent(evidence: Evidence, redaction: Redaction) -> Iterator[Markup]:
    for machine in evidence.machines:
        if isinstance(machine.answers, Silent):
            words = f" has told nothing: {redaction.text(machine.answers.reason)}"
            yield element("p", element("a", machine.name, href=f"#{machine.name}"), words, class_="bad")


def _checks(evidence: Evidence, redaction: Redaction) -> Iterator[Markup]:
    if evidence.findings is None:
        yield element("p", "The checks could not be run.", class_="bad")
        return
    wrong = failed(evidence.findings)
    if not wrong:
        yield element("p", f"All {len(evidence.findings)} checks hold.", class_="good")
        return
    yield element("p", f"{len(wrong)} of {len(evidence.findings)} checks do not hold:", class_="bad")
    rows = [
        [KINDS[item.kind], item.title, str(item.subject), item.expected.text, item.seen.text]
        for item in wrong
    ]
    yield table(Writer(redaction.text), ["", "Check", "On", "Expected", "Seen"], rows)


def _faults(evidence: Evidence, redaction: Redaction) -> Iterator[Markup]:
    """Those that somebody has started on purpose."""
    if evidence.faults is None:
        yield element("p", "Which faults are in force could not be asked.", class_="bad")
        return
    found = evidence.faults
    if found.faults:
        yield element("p", "Broken on purpose, by faults that are in force:")
        rows = [
            [
                " ".join(filter(None, (fault.name, fault.id))),
                " ".join(fault.targets),
                f"{fault.began:%H:%M:%S} UTC" if fault.began else "",
                fault.state,
                "\n".join(f"{part.node}: {part.words}" for part in fault.parts),
            ]
            for fault in found.faults
        ]
        yield table(Writer(redaction.text), ["Fault", "On", "Since", "State", "Seen"], rows)
    elif not found.silent:
        yield element("p", "No fault is in force: nothing is broken on purpose.", class_="quiet")
    for node, why in found.silent.items():
        yield element("p", f"Which faults {node} has is not known: {redaction.text(why)}", class_="quiet")


def _machines(evidence: Evidence, redaction: Redaction) -> Iterator[Markup]:
    yield element("h2", "Machines")
    rows = []
    for machine in evidence.machines:
        said = machine.answers
        rows.append(
            [
                element("a", machine.name, href=f"#{machine.name}"),
                " ".join(machine.services),
                machine.address,
                machine.state,
                f"no: {redaction.text(said.reason)}" if isinstance(said, Silent) else "yes",
            ]
        )
    yield table(Writer(), ["Machine", "Services", "Address", "Container", "Has answered"], rows)


def _of_machine(machine: Machine, entries: Sequence[Entry]) -> Iterator[Markup]:
    yield element("h2", machine.name, id=machine.name)
    folder = None
    for entry in entries:
        if entry.node != machine.name:
            continue
        within = _folder(entry)
        if within and within != folder:
            folder = within
            yield element("h3", folder)
        yield from _file(entry)


def _folder(entry: Entry) -> str:
    """Of nodes/NODE/network/links.txt it is network, of packets/NODE-eth0.pcap packets."""
    first, *rest = entry.path.split("/")
    return first if first != "nodes" else rest[1] if len(rest) > 2 else ""


def _file(entry: Entry, *, is_open: bool = False) -> Iterator[Markup]:
    name = entry.path.split("/", 2)[-1] if entry.path.startswith("nodes/") else entry.path
    words = [element("a", name, href=entry.path)]
    if entry.command:
        words += [Markup(" "), element("code", _short(entry.command))]
    elif entry.path in ABOUT:
        words += [Markup(" "), element("span", ABOUT[entry.path], class_="quiet")]
    if entry.status:
        words += [Markup(" "), element("span", f"exit status {entry.status}", class_="bad")]
    attributes = {"open": ""} if is_open else {}
    yield element("details", element("summary", *words), *_content(entry), **attributes)


def _content(entry: Entry) -> Iterator[Markup]:
    if isinstance(entry.content, bytes):
        size = f"{len(entry.content)} bytes, which no page can show; "
        yield element("p", size, "Wireshark and tcpdump -r open the file.", class_="quiet")
        return
    text = str(entry.content)
    if not text.strip():
        yield element("p", "Empty.", class_="quiet")
        return
    if len(text) > SHOWN:
        last = entry.path.endswith(".log")
        where = "last" if last else "first"
        yield element("p", f"The {where} {SHOWN} of {len(text)} characters.", class_="quiet")
        text = text[-SHOWN:] if last else text[:SHOWN]
    yield element("pre", text)


def _short(command: str) -> str:
    return command if len(command) <= 120 else f"{command[:117]}..."
