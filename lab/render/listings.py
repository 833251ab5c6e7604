"""Lists: labs, machines, images, and the steps of a plan."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lab.pods import RunningPod
from lab.render.pod_table import pods
from lab.render.shapes import ShownImage, ShownLab, ShownNode
from lab.render.text import table

if TYPE_CHECKING:
    from lab.cluster.plan import Step

__all__ = ["images", "labs", "plan", "status"]


def labs(found: Sequence[ShownLab], *, width: int | None = None) -> str:
    """`lab ls`."""
    if not found:
        return "There is no lab."
    rows = [[lab.name, lab.underlay or "-", str(lab.nodes), lab.made_by or "-", lab.state] for lab in found]
    return table(["NAME", "UNDERLAY", "NODES", "MADE BY", "STATE"], rows, width)


def status(nodes: Sequence[ShownNode], running: Sequence[RunningPod], *, width: int | None = None) -> str:
    """`lab status`: machines with their services and leases, then the pods."""
    several = any(node.engine for node in nodes)
    rows = [
        [
            node.name,
            node.role or "-",
            *([node.engine] if several else []),
            node.address,
            node.state,
            "\n".join(_services(node)) or "-",
            "\n".join(filter(None, (node.subnet, node.subnet6))) or "-",
            node.flanneld or "-",
        ]
        for node in nodes
    ]
    where = ["ENGINE"] if several else []
    header = ["NODE", "ROLE", *where, "ADDRESS", "STATE", "SERVICES", "FLANNEL_SUBNET", "FLANNELD"]
    machines = table(header, rows, width)
    return f"{machines}\n\n{pods(running, wide=True, width=width)}"


def _services(node: ShownNode) -> Iterator[str]:
    """Its services, and what it did not tell."""
    for service in node.services:
        yield f"{service.unit} {service.describe()}"
    for silent in node.silences:
        yield f"{silent.question}: {silent.reason}" if silent.question else silent.reason


def images(found: Sequence[ShownImage], *, width: int | None = None) -> str:
    """`lab images ls`."""
    if not found:
        return "There are no images of the lab."
    several = any(item.engine for item in found)
    rows = [
        [
            *([item.engine] if several else []),
            item.name,
            item.kind,
            f"{item.size / 1e6:.0f} MB" if item.size else "-",
            item.state,
        ]
        for item in found
    ]
    return table([*(["ENGINE"] if several else []), "NAME", "KIND", "SIZE", "STATE"], rows, width)


def plan(steps: "Sequence[Step]", *, width: int | None = None) -> str:
    """`lab up --dry-run`."""
    rows = [[item.name, item.action.describe(), _after(item, len(steps))] for item in steps]
    return table(["STEP", "DOES", "AFTER"], rows, width)


def _after(step: "Step", count: int) -> str:
    if len(step.needs) == count - 1:
        return "all others"
    return ", ".join(sorted(step.needs)) or "-"
