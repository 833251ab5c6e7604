"""Looking at a lab until it is right."""

from collections.abc import Sequence

from lab import checks, wait
from lab.checks import Finding
from lab.cluster import Lab
from lab.errors import LabError

__all__ = ["subnets", "wait_until_right", "wrong"]


def wrong(lab: Lab) -> Sequence[Finding]:
    """The checks that do not hold."""
    return checks.failed(checks.run_all(lab))


def wait_until_right(lab: Lab) -> None:
    """Wait until every check of the lab holds again; time out with those that do not."""

    def probe() -> bool | wait.NotYet:
        try:
            found = wrong(Lab.get(lab.engine, lab.name))
        except LabError as error:
            return wait.NotYet(str(error))
        return wait.NotYet(f"{found}") if found else True

    wait.until(probe, what="all checks to hold", timeout=60, interval=0.2)


def subnets(lab: Lab) -> dict[str, str]:
    """Each minion's subnet.env."""
    return {node.name: node.run(["cat", "/run/flannel/subnet.env"]).text for node in lab.minions}
