"""What cannot be compared on some nodes, because the lab file has them run something else. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from lab.spec import LabSpec, NodeSpec

__all__ = ["LeftOut", "left_out"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Checks that do not apply to a node."""

    node: str
    why: str

    def __str__(self) -> str:
        return f"Left out on {self.node}: {self.why}."


def left_out(spec: LabSpec) -> tuple[LeftOut, ...]:
    """For each node of the overlay that is not as the tutorial's minions are, what is not compared there."""
    found = ((node, why) for node in spec.nodes for why in (*_reasons(node), *_far(spec, node)))
    return tuple(LeftOut(node.name, why) for node, why in found)


def _far(spec: LabSpec, node: NodeSpec) -> Iterator[str]:
    routed = len(spec.segments) > 1 or any(segment.on_link == "gateway" for segment in spec.segments)
    if spec.backend.on_link and routed and node.runs("flanneld") and node.in_overlay:
        name = spec.backend.name
        yield f"{name} leads past no router, so no packets to and from pods behind one are expected"


def _reasons(node: NodeSpec) -> Iterator[str]:
    flanneld, docker = node.runs("flanneld"), node.runs("docker")
    if docker and not flanneld:
        yield "no flanneld runs there, so its lease, devices and routes are not compared"
    if docker and not node.in_overlay:
        whose = "Docker's own address" if node.docker.address is None else "an address of the lab file's"
        yield f"its docker0 has {whose}, so that no packets to and from its pods are expected"
    if flanneld and not docker:
        yield "no docker runs there, so docker0 is not compared, and no probe is sent"
