"""Faults: which there are, what is in force, what was done."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from lab.faults.registry import Fault
from lab.faults.status import InForce, Part, Status
from lab.render.documents import Document, versioned
from lab.render.text import table

__all__ = [
    "document_of_ended",
    "document_of_faults",
    "document_of_started",
    "document_of_status",
    "ended",
    "fault",
    "faults",
    "in_force",
    "known",
    "started",
]


def faults(every: Sequence[Fault], *, width: int | None = None) -> str:
    """`lab fault ls`."""
    rows = [[item.name, item.kind, item.targets.usage or "-", _plain(item.does)] for item in every]
    return table(["FAULT", "KIND", "TARGETS", "DOES"], rows, width)


def fault(item: Fault) -> str:
    """`lab fault ls NAME`."""
    lines = [
        f"lab fault start {item.usage}",
        "",
        f"{_plain(item.does)}.",
        f"What must hold: {_plain(item.holds)}.",
    ]
    if item.refused:
        lines += [f"Refused: {item.refused}.", *([item.hint] if item.hint else [])]
    rows = [[option.usage, _option(option.doc, option.default)] for option in item.options]
    return "\n".join([*lines, *(["", table(["OPTION", "DOES"], rows)] if rows else [])])


def _option(doc: str, default: str | None) -> str:
    return doc if default in (None, "false") else f"{doc}  [default: {default}]"


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def in_force(found: Status, *, width: int | None = None) -> str:
    """`lab fault status`."""
    if not found.faults:
        return "No fault is in force."
    rows = [
        [
            item.id or "-",
            item.name,
            " ".join(item.targets) or "-",
            item.began.strftime("%H:%M:%S UTC") if item.began else "-",
            item.state,
            "\n".join(f"{part.node}: {part.words}" for part in item.parts),
        ]
        for item in found.faults
    ]
    return table(["ID", "FAULT", "TARGETS", "SINCE", "STATE", "SEEN"], rows, width)


def known(found: Status) -> str:
    """The same, and the machines that do not tell of theirs."""
    silent = [f"What {node} has is not known: {why}" for node, why in found.silent.items()]
    return "\n".join([in_force(found), *silent])


def started(name: str, identifier: str, told: Iterable[Part]) -> str:
    """`lab fault start`."""
    head = [f"{name} is in force" + (f" as {identifier}" if identifier else "")] if identifier else [name]
    return "\n".join([*head, *(f"{part.node}: {part.words}" for part in told)])


def ended(found: Sequence[InForce]) -> str:
    """`lab fault stop` and `clear`."""
    if not found:
        return "No fault was in force."
    return "\n".join(f"ended {_title(item)}{_by_itself(item)}" for item in found)


def _title(item: InForce) -> str:
    return " ".join(filter(None, [item.id, item.name, *item.targets]))


def _by_itself(item: InForce) -> str:
    if item.state == "ended":
        return f"; it had ended by itself: {item.parts[0].words}"
    return ""


def document_of_faults(every: Iterable[Fault]) -> Document:
    """`lab fault ls --json`."""
    return versioned({"faults": [_fault(item) for item in every]})


def _fault(item: Fault) -> Document:
    return {
        "name": item.name,
        "kind": item.kind,
        "subject": item.subject,
        "usage": item.usage,
        "does": item.does,
        "holds": item.holds,
        "refused": item.refused or None,
        "options": [
            {
                "name": option.name,
                "value": option.metavar or None,
                "default": option.default,
                "does": option.doc,
            }
            for option in item.options
        ],
    }


def document_of_started(
    item: Fault, identifier: str, targets: Sequence[str], options: Mapping[str, Any], told: Iterable[Part]
) -> Document:
    """`lab fault start --json`."""
    return versioned(
        {
            "id": identifier or None,
            "fault": item.name,
            "kind": item.kind,
            "targets": list(targets),
            "options": dict(options),
            "told": [{"node": part.node, "words": part.words} for part in told],
        }
    )


def document_of_status(lab: str, found: Status) -> Document:
    """`lab fault status --json`."""
    return versioned(
        {
            "lab": lab,
            "faults": [_in_force(item) for item in found.faults],
            "silent": [{"node": node, "reason": why} for node, why in found.silent.items()],
        }
    )


def document_of_ended(found: Iterable[InForce]) -> Document:
    """`lab fault stop --json` and `clear --json`: each as it was seen just before."""
    return versioned({"ended": [_in_force(item) for item in found]})


def _in_force(item: InForce) -> Document:
    return {
        "id": item.id or None,
        "fault": item.name,
        "targets": list(item.targets),
        "options": dict(item.options),
        "began": _time(item.began),
        "state": item.state,
        "seen": [{"node": part.node, "on": part.on, "words": part.words} for part in item.parts],
    }


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None
