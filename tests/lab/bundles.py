"""Evidence for a bundle about the tutorial's cluster, from pretended machines."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from lab.bundle.collect import ask_machines
from lab.bundle.model import Evidence
from lab.bundle.questions import SPEC_PATH, of_node
from lab.checks import Finding, judge
from lab.cluster.plan import Step, plan_up
from lab.node.files import SPEC_FILE, spec_keeper
from lab.pods import EnvVar, PodSpec
from lab.spec import LabSpec
from tests.lab.examples import MINIONS, SPEC, FakeLab, FakeNode, docker_inspect, fake_lab, observation, pod

AT = datetime(2026, 11, 29, 9, 15, tzinfo=UTC)
ONE, TWO = MINIONS
Answer = tuple[str, str, int]

NOTHING: Mapping[str, Mapping[str, Answer]] = {}


def with_password(password: str, name: str = "MYSQL_ROOT_PASSWORD") -> LabSpec:
    """The tutorial's cluster with another password in its pods."""

    def changed(found: PodSpec) -> PodSpec:
        (only,) = found.containers
        container = only.model_copy(update={"env": (EnvVar(name=name, value=password.replace("$", "$$")),)})
        return found.model_copy(update={"containers": (container,)})

    return SPEC.model_copy(update={"pods": tuple(map(changed, SPEC.pods))})


def bundled_lab(spec: LabSpec = SPEC, answers: Mapping[str, Mapping[str, Answer]] = NOTHING) -> FakeLab:
    """Machines that answer everything that a bundle asks; `answers` has other ones, by node and path.

    As in a real lab, the lab's own description has no passwords; the master's file and the containers have.
    """
    lab = fake_lab()
    made: dict[str, FakeNode] = {}
    for node in spec.nodes:
        asked = of_node(spec, node, 15.0, SPEC_FILE if node.name == spec_keeper(spec) else None)
        usual: dict[str, Answer] = {question.path: ("", "", 0) for question in asked}
        if SPEC_PATH in usual:
            usual[SPEC_PATH] = (spec.to_json(), "", 0)
        if "docker/containers.json" in usual:
            own = [replace(pod(item.name), spec=item) for item in spec.pods if item.node == node.name]
            usual["docker/containers.json"] = (docker_inspect(*own), "", 0)
        made[node.name] = replace(lab.nodes[node.name], answers={**usual, **answers.get(node.name, {})})
    master, *minions = made.values()
    return replace(lab, master=master, minions=tuple(minions), spec=spec.public())


def evidence(lab: FakeLab, **changes: Any) -> Evidence:
    """What is collected of them; the checks hold."""
    found = Evidence(
        spec=lab.spec,
        at=AT,
        why="A test has asked for it.",
        machines=tuple(ask_machines(lab)),
        findings=holding(),
        versions={"overlay-lab": "0.1.0"},
        steps=planned(),
    )
    return replace(found, **changes)


@cache
def holding() -> tuple[Finding, ...]:
    """Findings of which every one holds."""
    return tuple(judge(observation()))


@cache
def planned() -> tuple[Step, ...]:
    """What is done to make the lab."""
    return plan_up(SPEC)


@cache
def failing() -> tuple[Finding, ...]:
    """Findings of which one does not hold."""
    seen = observation()
    nodes = {**seen.nodes, ONE: replace(seen.nodes[ONE], routes=())}
    return tuple(judge(replace(seen, nodes=nodes)))


def journal_line(message: object, monotonic: int, wall: int = 0, **fields: str) -> str:
    """What `journalctl --output=json` (systemd 257) prints of one entry."""
    entry = {
        "__CURSOR": "s=4d1e;i=1",
        "__REALTIME_TIMESTAMP": str(wall or 1_480_411_498_000_000 + monotonic),
        "__MONOTONIC_TIMESTAMP": str(monotonic),
        "_BOOT_ID": "2a7c",
        "MESSAGE": message,
        **fields,
    }
    return json.dumps(entry) + "\n"
