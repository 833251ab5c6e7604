"""Pods for a lab that is up: whatever ends their creation, each is whole or gone, or is named."""

import threading
from collections.abc import Mapping, Sequence

from lab.cluster.lab import Lab
from lab.cluster.perform import perform
from lab.cluster.plan import Action, CreatePod, Step
from lab.engine import EngineUnavailable
from lab.errors import LabError, NoAnswer
from lab.events import Reporter
from lab.naming import name_option
from lab.node import kubelet
from lab.pods import PodSpec, place
from lab.signals import shielded

__all__ = ["create_pods"]


def create_pods(lab: Lab, pods: Sequence[PodSpec], progress: Reporter) -> Mapping[str, str]:
    """Place and run pods beside those that run; answers the node of each. Raises `LabError`.

    A node's Docker goes on with what it was asked for when nobody waits any more. So that is waited for, also
    after Ctrl-C, until a second one; a pod that was not whole then is removed again. What there is all the
    same, notes of the exception say.
    """
    running = lab.all_pods()
    taken = {pod.name: pod.node for pod in running}
    for pod in pods:
        if pod.name in taken:
            raise LabError(
                f"a pod {pod.name} is there already, on {taken[pod.name]}",
                hint=f"First: lab pod rm{name_option(lab.name)} {pod.name}",
            )
    counts = {node.name: sum(pod.node == node.name for pod in running) for node in lab.running("docker")}
    placed = place(pods, list(counts), counts)
    steps = [Step(f"pod {pod.name}", CreatePod(pod, placed[pod.name]), frozenset()) for pod in pods]
    creating = _Creating(lab)
    try:
        with shielded() as signals:
            perform(steps, creating.act, progress, creating.cancel, signals, lasting=(CreatePod,))
    except BaseException as error:  # a signal that comes with the end is raised by `shielded`
        creating.tell(error)
        raise
    return placed


class _Creating:
    """Pods that are being created, and what has become of each."""

    def __init__(self, lab: Lab) -> None:
        self.cancel = threading.Event()
        self._lab = lab
        self._made: list[str] = []
        self._unsure: list[str] = []
        self._notes: list[str] = []

    def act(self, action: Action, _progress: Reporter) -> None:
        """Create one."""
        match action:
            case CreatePod(pod, node):
                self._create(pod, self._lab, node)

    def _create(self, pod: PodSpec, lab: Lab, node: str) -> None:
        self._unsure.append(pod.name)
        try:
            kubelet.run_pod(lab.engine, lab.node(node), pod, cancel=self.cancel)
        except (EngineUnavailable, NoAnswer):  # who did not answer may be at it still
            raise
        except BaseException as error:
            self._unsure.remove(pod.name)
            self._notes += getattr(error, "__notes__", ())
            raise
        self._unsure.remove(pod.name)
        self._made.append(pod.name)

    def tell(self, error: BaseException) -> None:
        """Say with the error what there is now."""
        remove = f"lab pod rm{name_option(self._lab.name)}"
        if self._made:
            error.add_note(f"What runs: {', '.join(self._made)}. To remove one: {remove} POD")
        for note in self._notes:
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
        for name in self._unsure:
            error.add_note(
                f"The pod {name} may be there in part. Remove what there is of it with: {remove} {name}"
            )
