"""What is to be done for a fault: which machine is asked for what, and in which order. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal, TypeAlias

from lab.faults.targets import Setting, Target

__all__ = [
    "Action",
    "Ask",
    "Carry",
    "EndOn",
    "NodeVerb",
    "OnEngine",
    "OnNode",
    "Plan",
    "Stage",
    "Step",
    "holders",
    "together",
]

NodeVerb: TypeAlias = Literal["pause", "stop", "kill", "restart", "reset"]
"""What the engine does with a whole machine; reset is a restart that kills at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """A state or an event of lab/faults/inside/, by its name there, and what it is given."""

    does: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OnNode:
    """Steps that a machine takes one after the other, in one call."""

    node: str
    steps: tuple[Step, ...]
    events: bool = False
    """Whether they are events, in the plan of a state; all steps of an event are."""


@dataclass(frozen=True, slots=True)
class EndOn:
    """End what this plan has made so on a machine so far."""

    node: str


@dataclass(frozen=True, slots=True)
class Carry:
    """A file that a step needs, made on this machine, is put on that one."""

    node: str
    what: Literal["clock"]


@dataclass(frozen=True, slots=True)
class OnEngine:
    """What the engine does with a machine's container."""

    node: str
    verb: NodeVerb


Action: TypeAlias = OnNode | EndOn | OnEngine | Carry
Stage: TypeAlias = tuple[Action, ...]
"""Actions that are taken at the same time."""

Plan: TypeAlias = tuple[Stage, ...]
"""Stages, one after the other."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a fault was asked for: of which lab, on what, with which options."""

    setting: Setting
    targets: tuple[Target, ...]
    options: Mapping[str, Any]
    """Each option of the fault, by its name."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """The machines that are meant, each once."""
        return tuple(dict.fromkeys(target.node for target in self.targets))

    @property
    def named(self) -> tuple[str, ...]:
        """The targets as they may be written on a command line, groups with commas."""
        groups = dict.fromkeys(target.group for target in self.targets)
        if None in groups:
            return tuple(map(str, self.targets))
        return tuple(",".join(str(it) for it in self.targets if it.group == group) for group in groups)

    def address(self, node: str) -> IPv4Address | IPv6Address:
        """The one that a machine's lease names."""
        return self.setting.announced(node)

    def addresses(self, node: str) -> Sequence[IPv4Address | IPv6Address]:
        """All of a machine's in the underlay."""
        return self.setting.addresses(node)


def holders(plan: Plan) -> tuple[str, ...]:
    """The machines that have a part of a state once its plan is done, each once."""
    found: dict[str, None] = {}
    for action in (action for stage in plan for action in stage):
        match action:
            case OnNode(node, events=False):
                found[node] = None
            case EndOn(node):
                found.pop(node, None)
    return tuple(found)


def together(steps: Iterable[tuple[str, Step]]) -> Plan:
    """A plan of one stage, from steps with their machines; those of one machine go in one call."""
    by_node: dict[str, list[Step]] = {}
    for node, step in steps:
        by_node.setdefault(node, []).append(step)
    return (_stage(by_node),) if by_node else ()


def _stage(by_node: Mapping[str, Sequence[Step]]) -> Stage:
    return tuple(OnNode(node, tuple(steps)) for node, steps in by_node.items())
