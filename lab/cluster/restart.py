"""Machines restarted, and waited for until they serve again."""

from collections.abc import Mapping, Sequence

from lab import threads
from lab.checks import Finding
from lab.cluster.lab import Lab
from lab.cluster.settled import settled
from lab.errors import LabError
from lab.events import Reporter
from lab.faults import control
from lab.faults.machines import run_again
from lab.node import Node, kubelet

__all__ = ["restart"]

DOWN = ("created", "exited", "dead")
"""The states of a container that does not run; one that stands still is let go on, and then restarted."""


def restart(lab: Lab, words: Sequence[str], progress: Reporter, *, hard: bool = False) -> tuple[Finding, ...]:
    """Restart machines, all at once, as the fault node-reboot does, and answer every check's finding then.

    Words are those that a fault takes as targets. One that is down is started. What is waited for before the
    checks: the services of each, and the pods that ran on it. Raises `LabError`.
    """
    names = control.setting_of(lab).named(words)
    for name in names:
        if lab.state(name) == "absent":
            raise LabError(f"the machine {name} is not there: nothing of it can be restarted")
    ran = _running_pods(lab)
    with progress.step(f"{'reset' if hard else 'restart'} {', '.join(names)}"):
        for name in names:
            if lab.state(name) != "running":
                run_again(lab, name)
        if up := [name for name in names if lab.state(name) not in DOWN]:
            control.start(Lab.get(lab.engine, lab.name), "node-reboot", up, {"hard": hard})
    lab = Lab.get(lab.engine, lab.name)

    def serve(node: Node) -> None:
        for unit in node.services:
            with progress.step(f"{unit} on {node.name}"):
                node.start_service(unit)
        if "docker" not in node.services:
            return
        for pod in kubelet.list_pods(node):
            if pod.name in ran.get(node.name, [pod.name]):
                with progress.step(f"pod {pod.name} on {node.name}"):
                    kubelet.await_pod(node, pod.spec)

    threads.each(serve, [lab.node(name) for name in names])
    with progress.step("run every check"):
        return settled(lab)


def _running_pods(lab: Lab) -> Mapping[str, Sequence[str]]:
    """By machine, the pods that run there now; without those machines of which nobody knows."""
    running: dict[str, list[str]] = {
        name: [] for name, node in lab.nodes.items() if node.container.state == "running"
    }
    for pod in lab.pods():
        if pod.status == "Running":
            running.setdefault(pod.node, []).append(pod.name)
    return running
