"""The time line: what has changed from one look to the next. Pure.

What a look does not tell is not taken for a change: each fact is compared with the last time it was known.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from lab.observe.model import known
from lab.web.links import links
from lab.web.model import Seen

__all__ = ["Change", "Facts", "Subject", "compared", "document_of", "facts"]

Subject = Literal["lab", "node", "service", "readiness", "lease", "pod", "fault", "link"]

Facts = Mapping[Subject, Mapping[str, str]]
"""By subject and name, how it is; a subject that is not there is one of which nothing is known."""

LASTING: frozenset[Subject] = frozenset({"lease", "pod", "fault"})
"""Subjects of which all are listed: one that is missing is gone."""

GOOD = {
    "lab": {"there"},
    "node": {"running"},
    "service": {"active"},
    "readiness": {"ready"},
    "pod": {"Running"},
    "link": {"ok"},
}
"""How it is when it is right."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the time line."""

    at: datetime
    subject: Subject
    name: str
    words: str
    good: bool | None
    """Whether that is right; None where it is neither."""


def facts(seen: Seen) -> Facts:
    """How everything is, as far as this look tells."""
    found: dict[Subject, Mapping[str, str]] = {"lab": {seen.lab: seen.problem or "there"}}
    if seen.problem or seen.observation is None:
        return found
    nodes = seen.observation.nodes
    found["node"] = {name: node.state for name, node in nodes.items()}
    found["service"] = {
        f"{name}/{service.unit}": service.state
        for name, node in nodes.items()
        for service in known(node.services) or ()
    }
    found["readiness"] = {
        name: "ready" if watched.ready[0] == 200 else f"not ready ({watched.ready[1].strip() or 'no answer'})"
        for name, watched in seen.watched.items()
        if watched.ready is not None
    }
    if (leases := seen.observation.leases) is not None:
        found["lease"] = {lease.key.rpartition("/")[2]: lease.value for lease in leases}
    found["pod"] = {pod.name: pod.status for pod in seen.pods}
    if seen.faults is not None:
        found["fault"] = {
            " ".join(filter(None, (fault.id, fault.name, *fault.targets))): fault.state
            for fault in seen.faults.faults
        }
    found["link"] = {link.id: link.state for link in links(seen) if link.state != "unknown"}
    return found


def compared(before: Facts, now: Facts, at: datetime) -> tuple[Facts, Sequence[Change]]:
    """What is known from now on, and what has changed."""
    kept: dict[Subject, Mapping[str, str]] = dict(before)
    found: list[Change] = []
    for subject, items in now.items():
        old = before.get(subject)
        if old is not None:
            found += _changes(subject, old, items, at)
        kept[subject] = items if subject in LASTING else {**(old or {}), **items}
    return kept, found


def _changes(
    subject: Subject, old: Mapping[str, str], items: Mapping[str, str], at: datetime
) -> Iterator[Change]:
    for name, value in items.items():
        if name not in old:
            if subject in LASTING:
                yield Change(at, subject, name, _new(subject, value), _good(subject, value))
        elif old[name] != value:
            yield Change(at, subject, name, _words(subject, old[name], value), _good(subject, value))
    for name in [it for it in old if it not in items] if subject in LASTING else ():
        yield Change(at, subject, name, "ended" if subject == "fault" else "gone", subject == "fault" or None)


def _new(subject: Subject, value: str) -> str:
    return {"lease": "leased", "fault": f"began: {value}"}.get(subject, value)


def _words(subject: Subject, old: str, value: str) -> str:
    if subject == "lease":
        return f"another value: {value}"
    return f"{value}, was {old}"


def _good(subject: Subject, value: str) -> bool | None:
    if subject == "fault":
        return False
    right = GOOD.get(subject)
    return None if right is None else value in right


def document_of(change: Change) -> Mapping[str, object]:
    """For `/api/events`."""
    return {
        "at": change.at.isoformat(),
        "subject": change.subject,
        "name": change.name,
        "words": change.words,
        "good": change.good,
    }
