"""Does to a run's cluster what the plan of a fault says.

The plan is the catalogue's, for machines with a systemd each. Here flanneld and etcd are processes, and so
what is done to their units is done to them. Everything else is done by the programs that do it on a lab's
machines, in the machine's network namespace.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.engine import FileContent, text_files
from lab.errors import LabError
from lab.faults import impairment
from lab.faults.impairment import Rule
from lab.faults.impairment.inside import PROGRAM as IMPAIR
from lab.faults.inside import PROGRAM as FAULTS
from lab.faults.machines import do
from lab.faults.plan import OnNode, Plan, Stage, Step
from lab.sandbox import Namespace
from lab.scale.cluster import Cluster

__all__ = ["Harm", "programs"]


def programs() -> Mapping[str, FileContent]:
    """What it takes in the container, by path."""
    return text_files({**FAULTS.texts(), **IMPAIR.texts()})


@dataclass(frozen=True)
class Harm:
    """One fault of a cluster: begun, looked at, and ended."""

    cluster: Cluster
    plan: Plan
    number: int
    """Of the faults of a run, none of which has the same."""

    def begin(self) -> None:
        """Make it so, or do it, if it is an event. Raises `LabError`."""
        for stage in self.plan:
            for does, steps in _by_what_it_does(stage).items():
                self._begin(does, steps)

    def _begin(self, does: str, steps: "Steps") -> None:
        names = [node for node, _ in steps]
        match does:
            case "impaired":
                for node, step in steps:
                    impairment.start(self._machine(node), self._rule(step.given))
            case "unit-paused":
                self.cluster.signal(names, "STOP")
            case "unit-stopped":
                self._must_end(names, "TERM")
            case "unit-kill":
                signal = str(steps[0][1].given["signal"]).removeprefix("SIG")
                self.cluster.start_again(self.cluster.end(names, signal))
            case "unit-restart":
                self._must_end(names, "TERM")
                self.cluster.start_again(names)
            case _:
                for node, step in steps:
                    do(self._machine(node), [step])
                if does == "etcd-wipe":
                    self.cluster.forget_strangers()

    def _must_end(self, names: Sequence[str], signal: str) -> None:
        ended = self.cluster.end(names, signal)
        if left := [name for name in names if name not in ended]:
            raise LabError(f"on {', '.join(left)} the process did not end of SIG{signal}")

    def missing(self) -> Sequence[str]:
        """What is not in force any more of impairments, by what the kernel says, with the machine's name."""
        found = []
        for node, _ in self._steps("impaired"):
            rules = impairment.status(self._machine(node)).rules
            ours = [item for item in rules if item.rule.identifier == self._identifier]
            lacks = "; ".join(ours[0].missing) if ours else "its rule is gone"
            found += [f"{node}: {lacks}"] if lacks else []
        return found

    def end(self) -> None:
        """Undo what lasts, the last of it first. Does not wait for etcd to serve again. Raises `LabError`."""
        for node, _ in self._steps("impaired"):
            impairment.stop(self._machine(node), self._identifier)
        self.cluster.signal([node for node, _ in self._steps("unit-paused")], "CONT")
        self.cluster.start_again([node for node, _ in self._steps("unit-stopped")])

    def _steps(self, does: str) -> "Steps":
        return [item for stage in self.plan for item in _by_what_it_does(stage).get(does, ())]

    def _machine(self, name: str) -> Namespace:
        return Namespace(self.cluster.box(name), name)

    @property
    def _identifier(self) -> str:
        return f"fault-{self.number}"

    def _rule(self, given: Mapping[str, Any]) -> Rule:
        # Not "bare": pods, whose packets have their own addresses with some backends, there are none.
        return Rule.from_document({**given["rule"], "id": self._identifier})


Steps = Sequence[tuple[str, Step]]
"""With the machines that take them."""


def _by_what_it_does(stage: Stage) -> Mapping[str, Steps]:
    """The steps of a stage, which are taken at the same time."""
    found: dict[str, list[tuple[str, Step]]] = {}
    for action in stage:
        if not isinstance(action, OnNode):
            raise TypeError(f"no fault that is offered has a plan with {action}")
        for step in action.steps:
            found.setdefault(step.does, []).append((action.node, step))
    return found
