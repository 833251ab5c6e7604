"""Collects a bundle: all machines are asked at once, by one command each; then the checks are run."""

import json
import platform
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib import metadata
from typing import Any

from lab import checks, labels, threads
from lab.bundle import inside, questions
from lab.bundle.archive import pack
from lab.bundle.contents import bundle_of
from lab.bundle.destination import Destination, stem
from lab.bundle.model import Evidence, Machine, Question
from lab.checks import Finding
from lab.checks.values import Data
from lab.cluster import NOWHERE, Lab
from lab.cluster.fleet import Fleet
from lab.cluster.plan import Step, plan_up
from lab.deadlines import BUNDLED, patience
from lab.engine import Engine
from lab.errors import LabError
from lab.events import Reporter
from lab.faults import control
from lab.faults.status import Status
from lab.inside import program
from lab.naming import our_version
from lab.node.files import SPEC_FILE, spec_keeper
from lab.observe.ask import ask_node
from lab.protocols import LabAccess
from lab.render.documents import Document
from lab.spec import LabSpec, NodeSpec
from lab.spec.segment import interfaces

__all__ = ["ask_machines", "collect"]


def collect(
    engine: Engine,
    spec: LabSpec,
    into: Destination,
    progress: Reporter,
    *,
    why: str,
    about: str = "",
    findings: Sequence[Finding] | None = None,
    events: Sequence[Mapping[str, Any]] = (),
    extra: Mapping[str, str] | None = None,
) -> Document:
    """Write a bundle about a lab, whatever there is of it; returns what is in it, and where it is.

    `findings` are those of checks that were run just before; without them the checks are run here. `about`
    begins the file's name, instead of the lab's. `extra` are further documents of whoever asks, such as what
    was done to the lab: texts, by their paths in the bundle. Raises `LabError` if it cannot be written.
    """
    at = datetime.now(UTC)
    machines: Sequence[Machine] = ()
    faults: Status | None = None
    try:
        lab = Lab.find(engine, spec.name)
    except LabError as error:
        lab, why = None, f"{why}\nOf the lab itself nothing could be learned: {error.message}"
    if lab is not None:
        with progress.step("ask every machine"):
            asking = threads.start(partial(_in_force, lab))
            found = ask_machines(lab)
            machines = threads.each(partial(_with_container, lab), found)
            faults = asking.result()
        if findings is None and lab.has_its_networks:
            with progress.step("run the checks"), suppress(LabError):  # None says that they could not be run
                findings = checks.run_all(lab, within=BUNDLED.seconds)
    evidence = Evidence(
        spec=spec,
        at=at,
        why=why,
        machines=tuple(machines),
        findings=None if findings is None else tuple(findings),
        versions=_versions(engine, spec),
        faults=faults,
        steps=_steps(spec),
        events=tuple(events),
        extra=extra or {},
    )
    with progress.step("write the bundle"):
        bundle = bundle_of(evidence)
        name = stem(about or f"lab-{spec.name}", at)
        file = into.write(name, pack(name, bundle.entries, at))
    return {**bundle.document, "file": str(file)}


def ask_machines(lab: LabAccess) -> Sequence[Machine]:
    """What each machine says of itself, in the lab file's order; none can hold up another for long."""
    return threads.each(lambda node: _ask(lab, node), lab.spec.nodes)


def _ask(lab: LabAccess, node: NodeSpec) -> Machine:
    described = SPEC_FILE if node.name == spec_keeper(lab.spec) else None
    asked = questions.of_node(lab.spec, node, BUNDLED.seconds, described)
    batch = {question.path: _argv(question) for question in asked}
    answers = ask_node(lab, node.name, batch, BUNDLED.seconds, datetime.now(UTC))
    own = interfaces(node, lab.segments)[0].ip
    address = "" if own in NOWHERE else str(own)
    return Machine(node.name, node.services, address, lab.state(node.name), asked, answers)


def _in_force(lab: Lab) -> Status | None:
    try:
        return control.status(lab, within=BUNDLED.seconds)
    except LabError:  # of what the machines say: one that says nothing is in the answer as such
        return None


def _argv(question: Question) -> Sequence[str]:
    return program(inside, question.program, *question.argv) if question.program else question.argv


def _with_container(lab: Lab, machine: Machine) -> Machine:
    """With what the engine knows of it, which is all that there is of one that does not run."""
    if machine.name not in lab.nodes:
        return machine
    engine, identifier = lab.nodes[machine.name].engine, lab.nodes[machine.name].container.id
    try:
        container, console = (
            _data(engine.inspect(identifier)),
            engine.container_logs(identifier, questions.LINES),
        )
    except LabError as error:
        container, console = {"error": error.message}, ""
    return replace(machine, container=container, console=console)


def _steps(spec: LabSpec) -> tuple[Step, ...]:
    try:
        return plan_up(spec)
    except LabError:  # its pods have no place: the error that the bundle is about
        return ()


@cache
def _packages() -> Mapping[str, str]:
    """What we need, by its version: a search leaves bundle after bundle, and to ask takes a while."""
    ours = metadata.requires("overlay-lab") or ()
    names = {re.split(r"[^\w.-]", each, maxsplit=1)[0] for each in ours if "extra ==" not in each}
    return {name: metadata.version(name) for name in sorted(names)}


def _versions(engine: Engine, spec: LabSpec) -> Data:
    told: dict[str, Data] = {
        "overlay-lab": our_version(),
        "python": platform.python_version(),
        "system": {key: value for key, value in platform.uname()._asdict().items() if key != "node"},
        "packages": _packages(),
        "patience": str(patience()),
    }
    told |= _of_engine(engine)
    if spec.engines:
        fleet = Fleet.of(engine, spec.engines)
        told["engines"] = {
            **dict(threads.each(lambda pair: (pair[0], _of_engine(pair[1])), [*fleet.engines.items()])),
            **{name: {"engine": error.message} for name, error in fleet.silent.items()},
        }
    return told


def _of_engine(engine: Engine) -> dict[str, Data]:
    """What it is, and which images it has; or why it does not tell."""
    try:
        return {
            "engine": _data(engine.describe()),
            "images": [
                {
                    "id": image.id,
                    "tags": list(image.tags),
                    "kind": image.labels[labels.IMAGE],
                    "size": image.size,
                }
                for image in engine.images(labels.IMAGE)
            ],
        }
    except LabError as error:
        return {"engine": error.message}


def _data(told: Mapping[str, Any]) -> Data:
    """What the engine has told in JSON."""
    data: Data = json.loads(json.dumps(told))
    return data
