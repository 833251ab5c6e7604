"""What a round of a search came to. Pure."""

from dataclasses import dataclass

from lab.soak.evidence import Evidence
from lab.soak.invariants import Violation
from lab.soak.schedule import Round

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a round came to."""

    number: int
    """From 1."""
    planned: Round
    evidence: Evidence
    violations: tuple[Violation, ...]
    shortest: Round | None = None
    """The shortest in which the first violation came again; None where none was looked for."""
