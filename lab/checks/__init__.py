"""What a lab must look like, by the tutorial and by genuine flannels, against what it does look like.

`collect` asks a lab, once, with one command for each machine; everything after that is pure.
The command `lab check`, the cluster tests, `lab up` and the tutorial's replay share these functions.
"""

from lab.access import LabAccess
from lab.checks.collect import collect
from lab.checks.devices import addresses, routes
from lab.checks.facts import Facts
from lab.checks.finding import Finding, report
from lab.checks.judge import leases, logins, pings, pods, probes, services, silences
from lab.errors import LabError

__all__ = [
    "Facts",
    "Finding",
    "addresses",
    "collect",
    "judge",
    "leases",
    "logins",
    "pings",
    "pods",
    "probes",
    "report",
    "routes",
    "run_all",
    "run_or_tell",
    "services",
    "silences",
]


def judge(facts: Facts) -> list[Finding]:
    """Every check, on what was seen."""
    parts = (silences, services, leases, addresses, routes, probes, pods, pings, logins)
    return [finding for part in parts for finding in part(facts)]


def run_all(lab: LabAccess) -> list[Finding]:
    """Every check, on a lab that stands. Raises `LabError` when the lab as a whole cannot be asked."""
    return judge(collect(lab))


def run_or_tell(lab: LabAccess) -> list[Finding]:
    """Every check; or the one finding that the lab cannot be asked."""
    try:
        return run_all(lab)
    except LabError as error:
        return [Finding("machines", lab.spec.name, False, "each machine runs and answers", error.message)]
