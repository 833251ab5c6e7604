"""What an invariant's violation is. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lab.soak.evidence import Applied
from lab.spec import LabSpec

__all__ = ["RECOVERY", "Violation", "subjects", "telling"]

RECOVERY = 15.0
"""Seconds after the end of a fault within which everything has to be right again, flows included."""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that did not hold."""

    kind: str
    """Which invariant, as docs/soak.md lists them."""
    subject: str
    expected: str
    seen: str

    def describe(self) -> str:
        """In one paragraph."""
        return f"{self.subject}: expected {self.expected}; seen: {self.seen}"


FEW = 3


def telling(every: Sequence[Violation]) -> Iterator[str]:
    """A few of each kind: what is wrong with one machine is often wrong with all."""
    for kind in dict.fromkeys(item.kind for item in every):
        same = [item for item in every if item.kind == kind]
        yield from (f"{kind}: {item.describe()}" for item in same[:FEW])
        if len(same) > FEW:
            yield f"{kind}: and {len(same) - FEW} more"


def subjects(spec: LabSpec, item: Applied) -> set[str]:
    """The nodes that a fault was done to."""
    words = {target.partition("/")[0] for group in item.entry.targets for target in group.split(",")}
    return words or {node.name for node in spec.nodes}
