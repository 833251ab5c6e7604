"""Looking at a lab until it is right."""

from collections.abc import Sequence

from lab import checks, wait
from lab.checks import Finding
from lab.cluster import Lab
from lab.deadlines import patience
from lab.errors import LabError

__all__ = ["subnets", "wait_until_right", "wrong"]


def wrong(lab: Lab) -> Sequence[Finding]:
    """The checks that do not hold."""
    return checks.failed(checks.run_all(lab))


def wait_until_right(lab: Lab) -> None:
    """Wait until every check of the lab holds again; time out with those that do not.

    After the first look only what was wrong is looked at, until it is right: logins take a second or more.
    """
    failing: set[str] = set()

    def probe() -> bool | wait.NotYet:
        nonlocal failing
        try:
            found = checks.failed(checks.run_all(Lab.get(lab.engine, lab.name), failing))
        except LabError as error:
            return wait.NotYet(str(error))
        some, failing = failing, {finding.id for finding in found}
        if found:
            return wait.NotYet(f"{found}")
        return wait.NotYet(f"right again: {sorted(some)}") if some else True

    wait.until(probe, what="all checks to hold", timeout=60 * patience(), interval=0.2)


def subnets(lab: Lab) -> dict[str, str]:
    """Each minion's subnet.env."""
    return {node.name: node.run(["cat", "/run/flannel/subnet.env"]).text for node in lab.minions}
