"""Replays the tutorial's steps on an existing lab."""

import shlex
from collections.abc import Iterator
from importlib.resources import files
from ipaddress import IPv4Network

from lab.checks.expected import leases_of
from lab.deadlines import CONVERSATION
from lab.errors import LabError, Unfit
from lab.observe import Topic, observe
from lab.protocols import LabAccess
from lab.render.pod_table import pods
from lab.spec import LabSpec, tutorial
from lab.tutorial.proof import POD_FILES, POD_LS
from lab.tutorial.step import StepResult, Today, TutorialStep, examine, plain
from lab.tutorial.steps import steps

__all__ = ["replay"]


def replay(lab: LabAccess) -> Iterator[StepResult]:
    """Run each step and compare. Changes nothing in the lab, and writes nothing that is not there already.

    Raises `Unfit` if the lab is not the tutorial's cluster, and `LabError` if a node cannot be queried.
    """
    differences = [*_differences(lab.spec), *_other_values(lab)]
    if differences:
        raise Unfit(
            f"the lab {lab.spec.name} is not the tutorial's cluster: its {' and '.join(differences)} differ",
            hint="The replay needs a lab that was created without a lab file: lab up",
        )
    today = _today(lab)
    for step in steps(today):
        output, exit_code = _run(lab, step)
        yield examine(step, output, exit_code, today)


def _differences(spec: LabSpec) -> list[str]:
    default = tutorial()
    pairs = {
        # Any flanneld may be examined, with either of etcd's stores
        "nodes": (
            [(node.name, node.services, node.host, node.flanneld.options) for node in spec.nodes],
            [(node.name, node.services, node.host, node.flanneld.options) for node in default.nodes],
        ),
        "flannel configuration": (spec.flannel_config, default.flannel_config),
        "etcd prefix": (spec.etcd_prefix, default.etcd_prefix),
        "flanneld options": (spec.flanneld_options, default.flanneld_options),
        "pods": (spec.public().pods, default.public().pods),
    }
    return [what for what, (here, there) in pairs.items() if here != there]


def _other_values(lab: LabAccess) -> list[str]:
    """Compare the values of the pods' variables, which are not in the lab's description but in the pods."""
    default = {pod.name: pod.environment for pod in tutorial().pods}
    whole = [pod for pod in lab.pods() if len(pod.containers) == len(pod.spec.containers)]
    seen = {pod.name: pod.spec.environment for pod in whole if pod.name in default}
    return ["pods' variables"] if any(default[name] != values for name, values in seen.items()) else []


def _today(lab: LabAccess) -> Today:
    seen = observe(lab, {Topic.CONFIG, Topic.LEASES, Topic.LINKS, Topic.SERVICES})
    for node in seen.nodes.values():
        for silent in node.silences:
            asked = silent.question or "it cannot be asked"
            raise LabError(f"{node.name}: {asked}: {silent.reason}", hint="lab check")
    underlay = next(iter(lab.segments.values())).ipv4
    if underlay is None:
        raise Unfit("the lab's machines have no IPv4 addresses, and the tutorial's have no others")
    subnets: dict[str, IPv4Network] = {}
    for minion in seen.minions:
        own = [lease.subnet for lease in leases_of(seen, minion) if lease.subnet is not None]
        if len(own) != 1:
            raise LabError(
                f"{minion.name} has {len(own)} leases in etcd; the tutorial needs one", hint="lab check"
            )
        subnets[minion.name] = own[0]
    programs = {
        node.name: node.flanneld.program.path for node in lab.spec.nodes if node.flanneld.program is not None
    }
    return Today(underlay, subnets, lab.spec.etcd_api, programs, seen.config)


def _run(lab: LabAccess, step: TutorialStep) -> tuple[str, int]:
    """Run a step; return its output and exit status."""
    if step.command == POD_FILES:
        folder = files("lab").joinpath("tutorial")
        return "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in POD_FILES.split()[1:]), 0
    if step.command == POD_LS:
        return pods(lab.pods(), wide=True) + "\n", 0
    argv = shlex.split(step.command)
    if "-it" in argv:
        typist = files("lab").joinpath("tutorial", "typist.py").read_text(encoding="utf-8")
        limit = f"{CONVERSATION.seconds:g}"
        argv = ["/usr/bin/python3", "-IS", "-c", typist, limit, "p123456", *argv]
    result = lab.nodes[step.node].run(argv, check=False)
    return plain(result.output), result.exit_code
