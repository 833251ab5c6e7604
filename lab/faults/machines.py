"""What a machine, or the engine about a machine, is asked for: one action of a plan."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lab.cluster import Lab
from lab.deadlines import QUESTION, SHUTDOWN
from lab.errors import LabError, Unfit
from lab.faults import clock
from lab.faults.inside import PROGRAM
from lab.faults.plan import Action, Carry, EndOn, NodeVerb, OnEngine, OnNode, Step
from lab.faults.status import Part
from lab.protocols import Runs

__all__ = ["act", "call", "do", "run_again"]

AT_ONCE = 0
"""Seconds that a machine has to shut down which loses its power."""

# By the machine itself, which takes a tenth of the time that the engine does. Programs that have the old file
# keep it.
WRITE = 'cat > "$0.new" && mv "$0.new" "$0"'

DONE: Mapping[NodeVerb, str] = {
    "pause": "it stands still",
    "stop": "it is shut down",
    "kill": "it has no power",
    "restart": "it has rebooted",
    "reset": "it has rebooted, without a shutdown before",
}


def act(lab: Lab, action: Action, *, kind: str, identifier: str, known: Mapping[str, Any]) -> Sequence[Part]:
    """Take one action for a fault of this kind; what the machine says of it. Raises `LabError`.

    `known` is what the machine keeps on record of a state with this identifier.
    """
    match action:
        case OnEngine():
            _on_engine(lab, action)
            return [Part(action.node, True, DONE[action.verb])]
        case Carry(node):
            lab.node(node).run(["sh", "-c", WRITE, clock.PATH], stdin=clock.library(lab.engine.arch))
            return []
        case EndOn(node):
            call(lab, node, "stop", {"id": identifier})
            return [Part(node, False, "what was started there is ended again")]
        case OnNode(node, steps, events):
            if events or kind == "event":
                return [Part(node, None, words) for words in do(lab.node(node), steps)]
            asked = {"id": identifier, "about": known, "steps": [_document(step) for step in steps]}
            seen = call(lab, node, "start", asked)["seen"]
            return [Part(node, True, words) for words in seen]


def _document(step: Step) -> Mapping[str, Any]:
    return {"does": step.does, "given": step.given}


def call(
    lab: Lab, node: str, verb: str, request: Mapping[str, Any], *, within: float | None = None
) -> Mapping[str, Any]:
    """The answer of a lab's machine, within so many seconds, by default those of QUESTION.

    Raises `Unfit` where the machine refuses, `LabError` where it fails.
    """
    return _ask(lab.node(node), verb, request, within)


def do(machine: Runs, steps: Sequence[Step]) -> Sequence[str]:
    """Have a machine do the steps of an event; in words, what it did. Raises as `call` does."""
    did: Sequence[str] = _ask(machine, "do", {"steps": [_document(step) for step in steps]}, None)["did"]
    return did


def _ask(machine: Runs, verb: str, request: Mapping[str, Any], within: float | None) -> Mapping[str, Any]:
    seconds = QUESTION.seconds if within is None else within
    said = machine.run(PROGRAM.command(verb, json.dumps(request)), within=seconds).text
    answer: Mapping[str, Any] = json.loads(said)
    if "error" in answer:
        kind = Unfit if answer["refused"] else LabError
        raise kind(f"{machine.name}: {answer['error']}", hint=answer["hint"])
    return answer


def _on_engine(lab: Lab, action: OnEngine) -> None:
    node = lab.node(action.node)
    engine, container = node.engine, node.container.id
    match action.verb:
        case "pause":
            engine.pause(container)
        case "stop":
            engine.stop(container, timeout=round(SHUTDOWN.seconds))
        case "kill":
            engine.kill(container)
        case "restart":
            engine.restart(container, timeout=round(SHUTDOWN.seconds))
        case "reset":
            engine.restart(container, timeout=AT_ONCE)


def run_again(lab: Lab, node: str) -> None:
    """Let a machine that is paused go on, and boot one that is down."""
    engine, container = lab.nodes[node].engine, lab.nodes[node].container
    if container.state == "paused":
        engine.unpause(container.id)
    else:
        engine.start(container.id)
