"""Starts, stops and shows faults: machines and the engine are asked for what a plan says.

There is no state here: what is in force is what machines and the engine show (`status`).
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from lab import threads
from lab.cluster import Lab
from lab.errors import LabError, NoAnswer
from lab.faults.machines import act, call, run_again
from lab.faults.plan import OnEngine, Plan, holders
from lab.faults.registry import IDENTIFIER, Fault, fault_named
from lab.faults.status import NODE_FAULTS, InForce, Part, Status, about, node_fault, selected, status_of
from lab.faults.targets import Setting
from lab.naming import name_option
from lab.signals import undisturbed

__all__ = ["Started", "clear", "held", "setting_of", "start", "status", "stop"]


@dataclass(frozen=True, slots=True)
class Started:
    """A fault that was started or done, and what each machine says of it."""

    fault: Fault
    id: str
    """Of a state; empty for an event, and for a fault of a whole machine."""
    targets: tuple[str, ...]
    options: Mapping[str, Any]
    told: tuple[Part, ...]


def setting_of(lab: Lab) -> Setting:
    """What a fault's plan is made from."""
    return Setting(lab.spec, lab.segments)


def start(
    lab: Lab, name: str, targets: Sequence[str] = (), options: Mapping[str, object] | None = None
) -> Started:
    """Start a state, or do an event. Raises `Unfit` where that cannot be, having changed nothing.

    A state that could not be started everywhere is undone where it was.
    """
    fault = fault_named(name)
    ask = fault.ask(setting_of(lab), targets, options or {})
    plan = fault.function(ask)
    identifier = secrets.token_hex(2) if fault.kind == "state" else ""
    known = about(name, ask.named, holders(plan), ask.options, datetime.now(UTC))
    told: list[Part] = []
    try:
        for stage in plan:
            take = partial(act, lab, kind=fault.kind, identifier=identifier, known=known)
            told += [part for parts in threads.each(take, stage) for part in parts]
    except LabError as error:
        if fault.kind == "state":
            _undo(lab, plan, identifier, error)
        raise
    of_machine = any(isinstance(action, OnEngine) for stage in plan for action in stage)
    return Started(fault, "" if of_machine else identifier, ask.named, known["options"], tuple(told))


def _undo(lab: Lab, plan: Plan, identifier: str, error: LabError) -> None:
    """Undo a state that was not started everywhere; what is left is told in a note of the error."""
    try:
        now = Lab.get(lab.engine, lab.name)
        for node in dict.fromkeys(action.node for stage in plan for action in stage):
            if now.state(node) == "running":
                call(now, node, "stop", {"id": identifier})
            elif lab.state(node) == "running":
                run_again(now, node)
    except LabError as failed:
        error.add_note(f"Not all of it could be undone: {failed.message}")
        error.add_note(f"Undo what is left with: lab fault clear{name_option(lab.name)}")


def status(lab: Lab, *, within: float | None = None) -> Status:
    """What is in force right now: every machine that runs is asked, and the engine for the others.

    A machine has `within` seconds for its answer, by default those of QUESTION.
    """
    of_nodes = [
        fault
        for name, node in lab.nodes.items()
        if (fault := node_fault(name, node.container.state, node.container.status)) is not None
    ]
    asked = [name for name, node in lab.nodes.items() if node.container.state == "running"]
    silent = {
        node.name: f"its container is {lab.state(node.name)}"
        for node in lab.spec.nodes
        if node.name not in asked
    }
    answers: dict[str, Mapping[str, Any]] = {}
    for name, answer in threads.each(partial(_ask, lab, within=within), asked):
        if isinstance(answer, str):
            silent[name] = answer
        else:
            answers[name] = answer
    return status_of(answers, of_nodes, silent)


def _ask(lab: Lab, node: str, *, within: float | None) -> tuple[str, Mapping[str, Any] | str]:
    """What a machine says, or why it says nothing."""
    try:
        return node, call(lab, node, "status", {}, within=within)
    except NoAnswer as error:
        return node, f"did not answer in {error.seconds:.0f} s"
    except LabError as error:
        return node, error.message


def stop(lab: Lab, what: str, targets: Sequence[str] = ()) -> Sequence[InForce]:
    """End the faults of this name or identifier, the latest first; answers what was seen of each before.

    `targets` are those that it was started with, as `start` takes them. Raises `LabError` if there is none.
    """
    if IDENTIFIER.fullmatch(what) and not targets:
        running = [name for name in lab.nodes if lab.state(name) == "running"]
        if found := _end_everywhere(lab, what, running):
            _all_ended(lab, found[0])
            return found
    named: Sequence[str] = ()
    if not IDENTIFIER.fullmatch(what):
        fault = fault_named(what)
        named = fault.ask(setting_of(lab), targets, {}).named if targets else ()
    return [_end(lab, fault) for fault in selected(status(lab), lab.name, what, named)]


def clear(lab: Lab) -> Sequence[InForce]:
    """End every fault, the latest first; whole machines come before all, as nothing else can be ended there.

    Raises `LabError`, once all else is ended, where something could not be.
    """
    ended: list[InForce] = []
    failures: list[LabError] = []
    machines = [fault for fault in status(lab).latest_first if fault.name in NODE_FAULTS]
    for fault in machines:
        _collect(lab, fault, ended, failures)
    lab = Lab.get(lab.engine, lab.name)
    now = status(lab)
    for fault in now.latest_first:
        _collect(lab, fault, ended, failures)
    left = [error.message for error in failures]
    left += [f"{node}: {why}, so its faults are not known" for node, why in now.silent.items()]
    if left:
        raise LabError("not every fault could be ended:\n" + "\n".join(left))
    return ended


def _collect(lab: Lab, fault: InForce, ended: list[InForce], failures: list[LabError]) -> None:
    try:
        ended.append(_end(lab, fault))
    except LabError as error:
        failures.append(error)


def _end(lab: Lab, fault: InForce) -> InForce:
    """End one; what its machines said of it before."""
    if fault.name in NODE_FAULTS:
        for node in fault.nodes:
            run_again(lab, node)
        return fault
    _end_everywhere(lab, fault.id, [part.node for part in fault.parts])
    _all_ended(lab, fault)
    return fault


def _all_ended(lab: Lab, fault: InForce) -> None:
    """Raise `LabError` where a machine that has a part of a fault was not asked to end it."""
    if fault.silent:
        states = ", ".join(f"{node} ({lab.state(node)})" for node in fault.silent)
        raise LabError(
            f"{fault.id} {fault.name} is ended but for the part of: {states}",
            hint=f"Once they answer, or to have them go on: lab fault clear{name_option(lab.name)}",
        )


def _end_everywhere(lab: Lab, identifier: str, nodes: Sequence[str]) -> Sequence[InForce]:
    """End a fault on these machines; what they said of it before: nothing, if none of them has it."""
    said = threads.each(lambda node: (node, call(lab, node, "stop", {"id": identifier})), nodes)
    silent = {name: lab.state(name) for name in lab.nodes if lab.state(name) != "running"}
    return status_of(dict(said), (), silent).faults


@contextmanager
def held(
    lab: Lab, name: str, targets: Sequence[str] = (), options: Mapping[str, object] | None = None
) -> Iterator[Started]:
    """A fault for as long as the context is open; an event is only done.

    No signal comes between a fault and the knowledge of it: however the context is left, the fault is ended.
    """
    started: Started | None = None
    try:
        with undisturbed():
            started = start(lab, name, targets, options)
        yield started
    finally:
        if started is not None and started.fault.kind == "state":
            with undisturbed():
                now = Lab.get(lab.engine, lab.name)
                stop(now, started.id or started.fault.name, () if started.id else started.targets)
