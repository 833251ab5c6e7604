"""Looking at a lab that is about to be right."""

import threading
from contextlib import suppress

from lab import checks, wait
from lab.checks import Finding
from lab.cluster.lab import Lab
from lab.deadlines import SETTLED

__all__ = ["settled"]


def settled(lab: Lab, cancel: threading.Event | None = None) -> tuple[Finding, ...]:
    """Look until all is right, for a moment: a flanneld may be about to make the last route.

    What does not hold then, the findings say. Raises `Cancelled`.
    """
    found: tuple[Finding, ...] = ()

    def right() -> bool | wait.NotYet:
        nonlocal found
        found = tuple(checks.run_all(lab))
        return all(finding.ok for finding in found) or wait.NotYet("told by the findings")

    with suppress(wait.TimedOut):
        wait.until(right, what="every check to hold", timeout=SETTLED.seconds, cancel=cancel)
    return found
