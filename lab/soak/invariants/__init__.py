"""What must hold whatever happens, and which of it a round has violated. Pure."""

from collections.abc import Callable, Collection, Iterator
from fnmatch import fnmatchcase

from lab.soak.evidence import Evidence
from lab.soak.invariants import ends, flows, leases
from lab.soak.invariants.leases import is_whole
from lab.soak.invariants.model import RECOVERY, Violation, telling
from lab.spec import LabSpec

__all__ = ["RECOVERY", "Violation", "is_whole", "telling", "violations"]

EVERY: tuple[Callable[[LabSpec, Evidence], Iterator[Violation]], ...] = (
    ends.panics,
    ends.left,
    leases.overlaps,
    leases.overwrites,
    leases.strays,
    leases.removals,
    flows.rows,
    flows.content,
    ends.checks,
    ends.devices,
    ends.remains,
    ends.subnets,
    leases.readiness,
    flows.flows,
)
"""Those that explain others first."""


def violations(spec: LabSpec, evidence: Evidence, ignored: Collection[str] = ()) -> tuple[Violation, ...]:
    """All of them but those of kinds that are `ignored`, which are patterns such as `checks.*`.

    Those that explain others come first.
    """
    every = (found for invariant in EVERY for found in invariant(spec, evidence))
    return tuple(found for found in every if not any(fnmatchcase(found.kind, item) for item in ignored))
