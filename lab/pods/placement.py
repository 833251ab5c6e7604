"""Placement of pods on nodes."""

from collections.abc import Mapping, Sequence

from lab.errors import Unfit
from lab.pods.spec import PodSpec

__all__ = ["place"]


def place(pods: Sequence[PodSpec], nodes: Sequence[str], counts: Mapping[str, int]) -> dict[str, str]:
    """Return the node of each pod: its nodeName, else the node with the fewest pods, ties by name.

    `counts` is the number of pods that each node already has. Pods with a nodeName are counted first, so that
    the others fill the remaining room. Raises `Unfit` if a nodeName is not in `nodes`.
    """
    known = ", ".join(sorted(nodes)) or "none"
    wrong = [
        f"pod {pod.name}: spec.nodeName: {pod.node} does not run docker; those that do: {known}"
        for pod in pods
        if pod.node is not None and pod.node not in nodes
    ]
    if pods and not nodes:
        wrong = wrong or [f"pod {pods[0].name}: the lab has no node that runs docker"]
    if wrong:
        raise Unfit("\n".join(wrong))
    load = {node: counts.get(node, 0) + sum(pod.node == node for pod in pods) for node in nodes}
    placed = {}
    for pod in pods:
        node = pod.node or min(load, key=lambda name: (load[name], name))
        load[node] += pod.node is None
        placed[pod.name] = node
    return placed
