"""Looking at a lab until it is right."""

from collections.abc import Sequence

from lab import checks, wait
from lab.checks import Finding
from lab.checks.registry import Layer
from lab.cluster import Lab
from lab.deadlines import patience
from lab.errors import LabError

__all__ = ["subnets", "wait_until_right", "wrong"]


def wrong(lab: Lab) -> Sequence[Finding]:
    """The checks that do not hold."""
    return checks.failed(checks.run_all(lab))


GROUND = frozenset(known.id for known in checks.every_check() if known.layer < Layer.PATH)
"""The checks below pods and their packets, which take a tenth of the processor time of all."""


def wait_until_right(lab: Lab) -> None:
    """Wait until every check of the lab holds again; time out with those that do not.

    Everything is looked at once the ground is right, and of what was wrong the ground first: the machines
    need the processors themselves.
    """
    failing = set(GROUND)

    def probe() -> bool | wait.NotYet:
        nonlocal failing
        while True:
            looked_at = failing & GROUND or failing
            try:
                found = checks.failed(checks.run_all(Lab.get(lab.engine, lab.name), looked_at))
            except LabError as error:
                return wait.NotYet(str(error))
            failing = failing - looked_at | {finding.id for finding in found}
            if found:
                return wait.NotYet(f"{found}")
            if not looked_at:
                return True

    wait.until(probe, what="all checks to hold", timeout=60 * patience(), interval=0.2)


def subnets(lab: Lab) -> dict[str, str]:
    """Each minion's subnet.env."""
    return {node.name: node.run(["cat", "/run/flannel/subnet.env"]).text for node in lab.minions}
