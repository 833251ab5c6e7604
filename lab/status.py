"""How a lab is doing, machine by machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab import together
from lab.cluster import AnotherVersion, Lab, maker_of, names
from lab.deadlines import PACKET
from lab.engine import Engine
from lab.labels import NAME
from lab.lock import is_held
from lab.node import Node
from lab.services import Service, parse_services, show_argv
from lab.spec import NodeSpec

__all__ = ["LabStatus", "NodeStatus", "labs", "nodes"]

# systemd may not answer: just after a boot, or hung. Nor may somebody's own flanneld.
ASK = """
    timeout -k 1 "$0" "$@" 2>/dev/null
    echo
    [ ! -e /run/flannel/subnet.env ] || cat /run/flannel/subnet.env
    case " $LAB_SERVICES " in
      *" flanneld "*) echo "VERSION=$(timeout -k 1 "$0" flanneld -version 2>&1 | tail -n 1)" ;;
    esac
"""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One machine: its container's state, its services, its lease."""

    name: str
    role: str
    address: str
    state: str
    services: tuple[Service, ...]
    """What it is to run; none while its container does not run."""
    subnet: str
    """FLANNEL_SUBNET of its /run/flannel/subnet.env, or empty."""
    flanneld: str = ""
    """Which one it runs: flanneld_py or the path that the lab file gives, and what `-version` says."""

    @property
    def ok(self) -> bool:
        """Whether it runs, with every service that it is to run."""
        return self.state == "running" and all(service.ok for service in self.services)


@dataclass(frozen=True, slots=True)
class LabStatus:
    """One lab: up, being made, or what a killed run left."""

    name: str
    state: str
    underlay: str
    nodes: int
    made_by: str
    """USER@HOST."""


def nodes(lab: Lab) -> Sequence[NodeStatus]:
    """Every machine of the lab, in the lab file's order."""

    def look(name: str) -> NodeStatus:
        spec = next(item for item in lab.spec.nodes if item.name == name)
        address = str(lab.underlay[spec.host])
        node = lab.nodes.get(name)
        if node is None or node.container.state != "running":
            return NodeStatus(name, spec.role, address, node.container.state if node else "absent", (), "")
        return _running(node, address, spec)

    return together.each(look, [item.name for item in lab.spec.nodes])


def _running(node: Node, address: str, spec: NodeSpec) -> NodeStatus:
    told = node.run(["sh", "-c", ASK, f"{PACKET.seconds:g}", *show_argv(node.services)], check=False).text
    values = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    program = spec.flanneld.program.path if spec.flanneld.program else "flanneld_py"
    version = values.get("VERSION")
    return NodeStatus(
        name=node.name,
        role=spec.role,
        address=address,
        state="running",
        services=parse_services(node.services, told),
        subnet=values.get("FLANNEL_SUBNET", ""),
        flanneld=f"{program} {version}" if version else "",
    )


def labs(engine: Engine) -> Sequence[LabStatus]:
    """Every lab of which anything is there, by name."""
    return [_lab(engine, name) for name in names(engine)]


def _lab(engine: Engine, name: str) -> LabStatus:
    try:
        lab = Lab.find(engine, name)
    except AnotherVersion as error:
        made = len(engine.containers({NAME: name}))
        return LabStatus(name, f"made by {error.made_by}", "", made, str(maker_of(engine, name)))
    if lab is None:
        return LabStatus(name, "left over", "", len(engine.containers({NAME: name})), "")
    if lab.complete:
        state = "up" if not lab.missing else f"not whole: {', '.join(lab.missing)}"
    else:
        state = "in use by a running process" if is_held(engine.id, name) else "left over"
    return LabStatus(name, state, str(lab.underlay), len(lab.nodes), str(lab.maker))
