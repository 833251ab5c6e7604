"""What is in force: what machines and the engine have shown, in the order in which it began. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from lab.errors import LabError
from lab.faults.plan import NodeVerb
from lab.suggest import similar

__all__ = ["NODE_FAULTS", "InForce", "Part", "Status", "about", "node_fault", "selected", "status_of"]

NODE_FAULTS: Mapping[str, NodeVerb] = {"node-pause": "pause", "node-stop": "stop", "node-kill": "kill"}
"""States that the engine makes, and shows: they stand on no record."""

KILLED = "Exited (137)"
"""How the engine tells of a container whose first process SIGKILL has ended."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one machine shows of a fault."""

    node: str
    on: bool | None
    """None where it cannot be seen."""
    words: str


@dataclass(frozen=True, slots=True)
class InForce:
    """A state that was started and not stopped; it may have ended by itself."""

    id: str
    """Empty for a fault of a whole machine, which its name and the machine identify."""
    name: str
    began: datetime | None
    targets: tuple[str, ...]
    nodes: tuple[str, ...]
    """The machines that have a part of it, whether or not they answer."""
    options: Mapping[str, Any]
    parts: tuple[Part, ...]
    """What they show; one that has nothing of it any more shows nothing."""
    silent: tuple[str, ...] = ()
    """Those of the machines that do not tell."""

    @property
    def state(self) -> Literal["on", "partly", "ended", "unknown"]:
        """`ended` is by itself, as by a reboot; `partly` where some of it is."""
        shown = {part.on for part in self.parts}
        if None in shown or self.silent:
            return "unknown"
        if shown == {True}:
            return "on"
        return "partly" if True in shown else "ended"


@dataclass(frozen=True, slots=True)
class Status:
    """Every fault of a lab, in the order in which they began, and the machines that do not tell of theirs."""

    faults: tuple[InForce, ...]
    silent: Mapping[str, str]
    """Why, by machine."""

    @property
    def latest_first(self) -> tuple[InForce, ...]:
        """In the order in which they are to be ended."""
        return tuple(reversed(self.faults))


def about(
    name: str, targets: Sequence[str], nodes: Sequence[str], options: Mapping[str, Any], began: datetime
) -> dict[str, Any]:
    """What a machine keeps on record of a fault: `nodes` are all that have a part of it."""
    return {
        "fault": name,
        "targets": list(targets),
        "nodes": list(nodes),
        "options": {key: value for key, value in options.items() if value is not None},
        "began": began.isoformat(),
    }


def node_fault(node: str, state: str, words: str) -> InForce | None:
    """The fault that a container's state, in the engine's words, amounts to."""
    if state == "paused":
        name = "node-pause"
    elif state in ("exited", "dead"):
        name = "node-kill" if words.startswith(KILLED) else "node-stop"
    else:
        return None
    return InForce("", name, None, (node,), (node,), {}, (Part(node, True, f"its container is {state}"),))


def status_of(
    answers: Mapping[str, Mapping[str, Any]], of_nodes: Iterable[InForce], silent: Mapping[str, str]
) -> Status:
    """From the answers of machines, by name, and the faults of whole machines: those come last.

    Nothing else can be ended while a machine stands still, so they are ended first, whenever they began.
    """
    found: dict[str, InForce] = {}
    for node, answer in answers.items():
        for item in answer["faults"]:
            known, parts = item["about"], _parts(node, item["steps"])
            if item["id"] in found:
                before = found[item["id"]]
                found[item["id"]] = replace(before, parts=before.parts + parts)
                continue
            began = datetime.fromisoformat(known["began"])
            found[item["id"]] = InForce(
                item["id"],
                known["fault"],
                began,
                tuple(known["targets"]),
                tuple(known["nodes"]),
                known["options"],
                parts,
                tuple(name for name in known["nodes"] if name in silent),
            )
    in_order = sorted(found.values(), key=lambda fault: (fault.began is not None, fault.began))
    return Status((*in_order, *of_nodes), dict(silent))


def _parts(node: str, steps: Iterable[Mapping[str, Any]]) -> tuple[Part, ...]:
    return tuple(Part(node, step["on"], step["words"]) for step in steps)


def selected(status: Status, lab: str, what: str, targets: Sequence[str]) -> tuple[InForce, ...]:
    """Those that a name or an identifier means, with these targets if any; the latest first.

    Raises `LabError` where there is none.
    """
    found = tuple(
        fault
        for fault in status.latest_first
        if what in (fault.id, fault.name) and (not targets or set(targets) == set(fault.targets))
    )
    if not found:
        there = ", ".join(f"{fault.id or '-'} {fault.name}" for fault in status.faults) or "none"
        wanted = " ".join([what, *targets])
        maybe = similar(what, [name for fault in status.faults for name in (fault.id, fault.name)])
        raise LabError(f"no fault {wanted} is in force in the lab {lab}{maybe or f'; in force: {there}'}")
    return found
