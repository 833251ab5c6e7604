"""From what was collected to the files of a bundle. No secret is in any of them. Pure."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from lab.bundle import answers, plan, timeline
from lab.bundle.model import Entry, Evidence
from lab.bundle.page import index
from lab.bundle.redact import redaction_for
from lab.checks.left_out import left_out
from lab.checks.values import Data
from lab.observe import journal
from lab.render import documents, faults, findings

__all__ = ["Bundle", "bundle_of"]


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files, texts or bytes, the page for a person first; and what is in them, for a program."""

    entries: tuple[Entry, ...]
    document: documents.Document


def bundle_of(evidence: Evidence) -> Bundle:
    """A bundle without the secrets that are in the evidence."""
    redaction = redaction_for(evidence)
    found = [redaction.entry(entry) for entry in sorted(_entries(evidence), key=lambda entry: entry.path)]
    hidden = redaction.data(documents.bundle(evidence, found))
    assert isinstance(hidden, dict)  # noqa: S101 - what mypy cannot know
    page = Entry("index.html", index(evidence, found, redaction))
    listing = Entry("contents.json", json.dumps(hidden, indent=2, ensure_ascii=False) + "\n")
    return Bundle((page, listing, *found), hidden)


def _entries(evidence: Evidence) -> Iterator[Entry]:
    yield Entry("why.txt", f"{evidence.why}\n")
    yield Entry("lab.json", json.loads(evidence.spec.public().to_json()))
    yield Entry("versions.json", evidence.versions)
    yield Entry("plan.txt", plan.timed(evidence.steps, evidence.events))
    if evidence.events:
        yield Entry("events.jsonl", "".join(f"{json.dumps(event)}\n" for event in evidence.events))
    if evidence.findings is not None:
        yield Entry("checks.json", _data(documents.check(evidence.findings, left_out(evidence.spec))))
        yield Entry("checks.txt", f"{findings(evidence.findings, left_out(evidence.spec))}\n")
    if evidence.faults is not None:
        yield Entry("faults.json", _data(faults.document_of_status(evidence.spec.name, evidence.faults)))
        yield Entry("faults.txt", f"{faults.known(evidence.faults)}\n")
    journals = {machine.name: answers.journals(machine) for machine in evidence.machines}
    yield Entry("journal.log", journal.merged(journals, several=bool(evidence.spec.engines)))
    yield Entry("timeline.log", timeline.text(evidence))
    for path, content in evidence.extra.items():
        yield Entry(path, content)
    for machine in evidence.machines:
        yield from answers.entries(machine)


def _data(document: documents.Document) -> Data:
    """A document as it is once it was written and read."""
    data: Data = json.loads(json.dumps(document))
    return data
