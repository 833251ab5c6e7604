"""A trace for a person, and for a program."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lab.render.documents import versioned
from lab.render.text import indent, table
from lab.trace.asked import Asked
from lab.trace.evidence import Evidence, Gap
from lab.trace.model import Hop, Point, Reason, Way
from lab.trace.verdict import Diagnosis, Trace
from lab.trace.world import End

__all__ = ["document", "trace"]

LEGS = {"there": "There", "back": "The answer's way"}


def trace(asked: Asked, start: End, end: End, found: Trace, *, width: int | None = None) -> str:
    """One line a hop, then what is wrong, first of all what packets do not get past."""
    parts = [_title(asked, start, end)]
    for leg, way, seen in zip(("there", "back"), (found.there, found.back), found.evidence, strict=True):
        parts.append(f"{LEGS[leg]}\n{indent(_way(way, seen, found.diagnoses, width))}")
    parts.append(_sum(found))
    parts += [
        _diagnosis(number, item, len(found.diagnoses)) for number, item in enumerate(found.diagnoses, 1)
    ]
    if found.notes:
        parts.append("\n".join(f"Note: {words}" for words in found.notes))
    return "\n\n".join(parts)


def _title(asked: Asked, start: End, end: End) -> str:
    what = {"icmp": "ICMP echo", "udp": f"UDP to port {asked.port}", "tcp": f"TCP to port {asked.port}"}
    return f"{what[asked.protocol]} from {_end(start)} to {_end(end)}"


def _end(end: End) -> str:
    where = f" on {end.machine}" if end.namespace else ""
    return f"{end.title} ({end.address}{where})" if end.title != str(end.address) else end.title


def _way(way: Way, seen: Evidence, diagnoses: Iterable[Diagnosis], width: int | None) -> str:
    """The hops, each with the packets that were seen where it begins."""
    counts = {id(hop): gap for gap in seen.gaps for hop in gap.hops}
    named = {id(it.hop): it for it in diagnoses if it.fault.reason is Reason.FW_RULE}
    rows, number = [], 0
    for step in way.steps:
        if isinstance(step, Point):
            continue
        number += 1
        gap = counts.get(id(step))
        rows.append(
            (
                str(number),
                step.place,
                str(step.component),
                step.told,
                _action(step, gap, named.get(id(step))),
                _count(gap),
            )
        )
    return table(
        ("", "WHERE", "COMPONENT", "WHAT", "ACTION", "SEEN"), rows, None if width is None else width - 2
    )


def _action(hop: Hop, gap: Gap | None, named: Diagnosis | None) -> str:
    if hop.fault is None:
        if named is not None:  # by the kernel's own trace: state alone does not show it
            return f"{'dropped' if named.fault.kills else 'forwarded'} {named.fault.reason}"
        return hop.action.value if gap is None or gap.came else "not reached"
    return f"{hop.action.value} {hop.fault.reason}"


def _count(gap: Gap | None) -> str:
    if gap is None:
        return "-"
    return str(len(gap.came)) if not gap.lost else f"{len(gap.came)}, then {len(gap.came) - len(gap.lost)}"


def _sum(found: Trace) -> str:
    sent, answered = len(found.probes.sizes), len(found.probes.answered)
    took = sorted(found.probes.answered.values())
    times = f", half of them within {took[len(took) // 2] * 1000:.1f} ms" if took else ""
    closed = sum(kind == "closed" for kind in found.probes.kinds.values())
    refused = f", {closed} of them by a port that is closed" if closed else ""
    words = f"{sent} probes sent, {answered} answered{times}{refused}."
    if found.ok:
        return f"{words} Delivered; nothing is wrong on the way."
    return words if found.diagnoses else f"{words} Nothing explains what is missing."


def _diagnosis(number: int, item: Diagnosis, all_: int) -> str:
    fault = item.fault
    head = f"{fault.reason} at {item.place}" + (", on the answer's way" if item.leg == "back" else "")
    lines = {
        "expected": fault.expected,
        "found": fault.found,
        "so": fault.because,
        "seen": item.evidence,
        "fix": fault.fix,
    }
    text = "\n".join(f"{name + ':':10}{words}" for name, words in lines.items())
    return f"{f'{number}. ' if all_ > 1 else ''}{head}\n{indent(text)}"


def document(asked: Asked, start: End, end: End, found: Trace) -> Mapping[str, Any]:
    """`lab trace --json`."""
    return versioned(
        {
            "protocol": asked.protocol,
            "port": asked.port or None,
            "source": _end_document(start),
            "destination": _end_document(end),
            "ok": found.ok,
            "delivered": found.delivered,
            "sent": len(found.probes.sizes),
            "answered": len(found.probes.answered),
            "there": list(_steps(found.there, found.evidence[0])),
            "back": list(_steps(found.back, found.evidence[1])),
            "diagnoses": [_diagnosis_document(item) for item in found.diagnoses],
            "notes": list(found.notes),
        }
    )


def _end_document(end: End) -> Mapping[str, Any]:
    return {
        "name": end.title,
        "machine": end.machine or None,
        "namespace": end.namespace or None,
        "address": str(end.address),
    }


def _steps(way: Way, seen: Evidence) -> Iterator[Mapping[str, Any]]:
    counts = {id(hop): gap for gap in seen.gaps for hop in gap.hops}
    for hop in way.hops:
        gap = counts.get(id(hop))
        yield {
            "machine": hop.machine,
            "namespace": hop.namespace or None,
            "component": str(hop.component),
            "told": hop.told,
            "action": hop.action.value,
            "reason": str(hop.fault.reason) if hop.fault is not None else None,
            "came": len(gap.came) if gap is not None else None,
            "lost": len(gap.lost) if gap is not None else None,
        }


def _diagnosis_document(item: Diagnosis) -> Mapping[str, Any]:
    fault = item.fault
    return {
        "way": item.leg,
        "place": item.place,
        "component": str(item.hop.component) if item.hop is not None else None,
        "reason": str(fault.reason),
        "expected": fault.expected,
        "found": fault.found,
        "because": fault.because,
        "evidence": item.evidence,
        "seen": item.seen,
        "kills": fault.kills,
        "fix": fault.fix,
    }
