"""Whether everything is right again after a round."""

from lab import checks, wait
from lab.checks import Finding
from lab.cluster import Lab

__all__ = ["settle"]


def settle(lab: Lab, seconds: float) -> tuple[Finding, ...]:
    """Wait until every check holds, and stays so; those that do not in time."""
    found: tuple[Finding, ...] = ()

    def right() -> bool | wait.NotYet:
        nonlocal found
        found = _wrong(lab)
        return not found or wait.NotYet([item.id for item in found])

    try:
        wait.until(right, what="every check to hold", timeout=seconds, interval=0.5)
    except wait.TimedOut:
        return found
    return _wrong(lab)


def _wrong(lab: Lab) -> tuple[Finding, ...]:
    return tuple(checks.failed(checks.run_all(Lab.get(lab.engine, lab.name))))
