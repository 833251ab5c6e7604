"""The time line: what happened on all machines and to them, in the order of the wall clock. Pure.

The machines are containers, so they share the clock of their kernel; this process has that of its machine,
which is another one where the engine is far away.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from lab.bundle import answers, plan
from lab.bundle.model import Evidence

__all__ = ["text"]

Moment = tuple[int, str, str]
"""Microseconds since 1970, where, and what."""

EVERYWHERE = "lab"


def text(evidence: Evidence) -> str:
    """What the services of the machines have logged, the steps of `lab up`, and faults in force.

    A line for each; further lines of a message are indented.
    """
    moments = [*_of_services(evidence), *_of_steps(evidence), *_of_faults(evidence)]
    moments.append((_microseconds(evidence.at), EVERYWHERE, "this bundle was begun"))
    width = max(len(where) for _, where, _ in moments)
    return "".join(
        f"{_shown(at)} {where.ljust(width)} {what}\n"
        for at, where, what in sorted(moments, key=lambda moment: moment[0])
    )


def _of_services(evidence: Evidence) -> Iterator[Moment]:
    units = {node.name: node.watched for node in evidence.spec.nodes}
    for machine in evidence.machines:
        for line in answers.unit_journals(machine, units.get(machine.name, ())):
            yield line.wall, machine.name, line.words


def _of_steps(evidence: Evidence) -> Iterator[Moment]:
    for event in evidence.events:
        at = _microseconds(datetime.fromisoformat(str(event["at"])))
        kind, name = str(event["event"]), str(event.get("name", ""))
        if kind == "note":
            yield at, EVERYWHERE, str(event["text"])
        elif kind == "step-began":
            yield at, EVERYWHERE, f"{name}: began"
        elif kind in plan.OUTCOMES:
            error = str(event.get("error") or "").strip().replace("\n", "\n    ")
            yield at, EVERYWHERE, f"{name}: {plan.OUTCOMES[kind]}{f': {error}' if error else ''}"


def _of_faults(evidence: Evidence) -> Iterator[Moment]:
    for fault in evidence.faults.faults if evidence.faults is not None else ():
        if fault.began is not None:
            words = " ".join(["fault", fault.id, fault.name, *fault.targets])
            yield _microseconds(fault.began), EVERYWHERE, f"{words}: began, and is {fault.state}"


def _microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def _shown(microseconds: int) -> str:
    at = datetime.fromtimestamp(microseconds // 1_000_000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{microseconds % 1_000_000 // 1000:03}"
