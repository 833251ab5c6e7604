"""Which faults a search draws, on what, for how long, and which flows each of them may touch. Pure.

A fault that is not here is not drawn. In a schedule that somebody writes it may touch every flow.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from lab.spec import LabSpec

__all__ = ["RECIPES", "Recipe", "Touch", "blinded", "touched"]

Touch = Literal["nothing", "nodes", "all"]
"""Flows that may lose something while a fault is in force: none, those of its nodes, all."""

T = TypeVar("T")


class Chance(Protocol):
    """What is drawn with: `random.Random`."""

    def choice(self, seq: Sequence[T]) -> T:
        """One of these."""

    def sample(self, population: Sequence[T], k: int) -> list[T]:
        """So many of these, each once."""


Draw = Callable[[LabSpec, Chance], Sequence[str]]
"""The targets; empty words where the lab has none for it, and nothing where the fault takes none."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a fault is drawn."""

    draw: Draw | None = None
    """None for a fault without targets."""
    lasts: tuple[float, float] | None = None
    """Between so many seconds; None for an event."""
    touches: Touch = "nodes"
    in_kernel: Touch | None = None
    """The same with a backend whose packets the kernel carries without the daemon."""
    moves: bool = False
    """Whether a node may have another subnet afterwards."""
    blinds: Touch = "nodes"
    """Whose flanneld may not know meanwhile what etcd holds, or may not do what follows from it."""
    weight: float = 1
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values to choose from."""


def _minion(spec: LabSpec, random: Chance) -> Sequence[str]:
    names = [node.name for node in spec.minions]
    return [random.choice(names)] if names else []


def _etcd(spec: LabSpec, random: Chance) -> Sequence[str]:
    return [random.choice([node.name for node in spec.running("etcd")])] if spec.running("etcd") else []


def _member(spec: LabSpec, random: Chance) -> Sequence[str]:
    return _etcd(spec, random) if len(spec.running("etcd")) > 1 else []


def _all_minions(spec: LabSpec, _random: Chance) -> Sequence[str]:
    return [node.name for node in spec.minions]


def _pair(spec: LabSpec, random: Chance) -> Sequence[str]:
    names = [node.name for node in spec.minions]
    return random.sample(names, 2) if len(names) > 1 else []


def _with(*backends: str) -> Draw:
    """A minion, where the lab has one of these backends."""

    def draw(spec: LabSpec, random: Chance) -> Sequence[str]:
        return _minion(spec, random) if spec.backend.name in backends else []

    return draw


BRIEF, LONG = (1.0, 4.0), (3.0, 9.0)
"""Seconds."""

RECIPES: Mapping[str, Recipe] = {
    "etcd-stop": Recipe(_etcd, LONG, "nothing", blinds="all"),
    "etcd-pause": Recipe(_etcd, LONG, "nothing", blinds="all"),
    "etcd-member-loss": Recipe(_member, LONG, "nothing", blinds="all"),
    "etcd-compact": Recipe(touches="nothing", blinds="nothing"),
    "etcd-wipe": Recipe(touches="all", moves=True, blinds="nothing", weight=2),
    "etcd-bad-key": Recipe(None, LONG, "nothing", blinds="nothing"),
    "etcd-bad-value": Recipe(None, LONG, "nothing", blinds="nothing"),
    "lease-delete": Recipe(_minion, moves=True, blinds="nothing"),
    "lease-overwrite": Recipe(_minion, LONG, moves=True, blinds="nothing"),
    "lease-steal": Recipe(_minion, LONG, moves=True, blinds="nothing"),
    "lease-expire": Recipe(_minion, moves=True, blinds="nothing"),
    "lease-permanent": Recipe(_minion, LONG, "nothing", blinds="nothing"),
    "subnet-exhaustion": Recipe(None, LONG, "nothing", blinds="nothing"),
    "config-break": Recipe(None, LONG, "nothing", blinds="nothing"),
    "config-remove": Recipe(None, LONG, "nothing", blinds="nothing"),
    "daemon-kill-9": Recipe(_minion, in_kernel="nothing", weight=2),
    "daemon-restart": Recipe(_minion, in_kernel="nothing", weight=2),
    "daemon-pause": Recipe(_minion, BRIEF, in_kernel="nothing"),
    "thundering-start": Recipe(_all_minions, touches="all", in_kernel="nothing"),
    "peer-vanished": Recipe(_pair, LONG, moves=True),
    "port-busy": Recipe(_with("udp"), BRIEF),
    "dockerd-restart": Recipe(_minion),
    "node-pause": Recipe(_minion, BRIEF),
    "node-reboot": Recipe(_minion, options={"hard": ("true", "false")}),
    "partition": Recipe(_pair, LONG, weight=2),
    "partition-etcd": Recipe(_minion, LONG, weight=2),
    "loss": Recipe(_minion, LONG, options={"share": ("5%", "30%")}),
    "delay": Recipe(_minion, LONG, options={"time": ("20ms", "200ms")}),
    "duplicate": Recipe(_minion, LONG, options={"share": ("5%", "50%")}),
    "reorder": Recipe(_minion, LONG, options={"share": ("5%", "50%")}),
    "corrupt": Recipe(_minion, LONG, options={"share": ("1%", "10%")}),
    "route-delete": Recipe(_minion, BRIEF),
    "neighbour-delete": Recipe(_with("vxlan"), BRIEF),
    "fdb-delete": Recipe(_with("vxlan"), BRIEF),
    "device-down": Recipe(_minion, BRIEF),
    "device-delete": Recipe(_with("udp", "vxlan")),
    "iface-down-up": Recipe(_minion),
    "iptables-flush": Recipe(_minion, BRIEF),
}


def touched(spec: LabSpec, fault: str) -> Touch:
    """Which flows a fault may touch in this lab."""
    recipe = RECIPES.get(fault)
    if recipe is None:
        return "all"
    return recipe.in_kernel if recipe.in_kernel and spec.backend.name != "udp" else recipe.touches


def blinded(fault: str) -> Touch:
    """Whose flanneld may not follow etcd meanwhile."""
    return RECIPES[fault].blinds if fault in RECIPES else "all"
