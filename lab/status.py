"""How a lab is doing, machine by machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from lab.cluster import Lab, Unreadable, maker_of, names
from lab.deadlines import PACKET
from lab.engine import Engine
from lab.labels import NAME
from lab.lock import is_held
from lab.node.services import Service
from lab.observe import NodeObservation, Observation, Silent, Topic, known, observe
from lab.observe.parse import parse_environment
from lab.protocols import LabAccess

__all__ = ["LabStatus", "NodeStatus", "labs", "look", "nodes"]

TOPICS = frozenset({Topic.SERVICES, Topic.VERSION, Topic.SUBNET_ENV, Topic.PODS})
"""What `lab status` asks for."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One machine: its container's state, its services, its lease."""

    name: str
    role: str | None
    """The tutorial's word for what it runs, if there is one."""
    address: str
    state: str
    services: tuple[Service, ...]
    """What it is to run; none while it does not say."""
    subnet: str
    """FLANNEL_SUBNET of its /run/flannel/subnet.env, or empty."""
    subnet6: str = ""
    """FLANNEL_IPV6_SUBNET, or empty."""
    flanneld: str = ""
    """Which one it runs: flanneld_py or the path that the lab file gives, and what `-version` says."""
    silences: tuple[Silent, ...] = ()
    """What it did not tell although it runs."""
    engine: str = ""
    """Of a lab on several engines, the name of the one that it is on."""

    @property
    def ok(self) -> bool:
        """Whether it runs and answers, with every service that it is to run."""
        return self.state == "running" and not self.silences and all(item.ok for item in self.services)


@dataclass(frozen=True, slots=True)
class LabStatus:
    """One lab: up, being made, or what a killed run left."""

    name: str
    state: str
    underlay: str
    nodes: int
    made_by: str
    """USER@HOST."""


def look(lab: LabAccess) -> Observation:
    """Ask for what `lab status` shows; a node that does not answer soon is shown as silent."""
    return observe(lab, TOPICS, within=PACKET.seconds)


def nodes(seen: Observation) -> Sequence[NodeStatus]:
    """Every machine of the lab, in the lab file's order."""
    return [_node(seen, node) for node in seen.nodes.values()]


def _node(seen: Observation, node: NodeObservation) -> NodeStatus:
    spec = seen.node_spec(node.name)
    env = known(node.subnet_env)
    told = parse_environment(env.text or "") if env is not None else {}
    version = known(node.version)
    program = spec.flanneld.program.path if spec.flanneld.program else "flanneld_py"
    return NodeStatus(
        name=node.name,
        role=spec.role,
        address=str(node.address),
        state=node.state,
        services=known(node.services) or (),
        subnet=told.get("FLANNEL_SUBNET", ""),
        subnet6=told.get("FLANNEL_IPV6_SUBNET", ""),
        flanneld=f"{program} {version}" if version else "",
        silences=node.silences if node.state == "running" else (),
        engine=spec.engine,
    )


def labs(engine: Engine) -> Sequence[LabStatus]:
    """Every lab of which anything is there, by name."""
    return [_lab(engine, name) for name in names(engine)]


def _lab(engine: Engine, name: str) -> LabStatus:
    try:
        lab = Lab.find(engine, name)
    except Unreadable as error:
        made = len(engine.containers({NAME: name}))
        return LabStatus(name, f"made by {error.made_by}", "", made, str(maker_of(engine, name)))
    unfinished = "in use by a running process" if is_held(engine.id, name) else "left over"
    if lab is None:  # or what `lab bench` and the tests work in
        return LabStatus(name, unfinished, "", len(engine.containers({NAME: name})), "")
    state = unfinished
    if lab.complete:
        state = "up" if not lab.missing else f"not whole: {', '.join(lab.missing)}"
    return LabStatus(name, state, str(lab.underlay), len(lab.nodes), str(lab.maker))
