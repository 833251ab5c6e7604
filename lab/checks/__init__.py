"""Compares what a lab looks like with what the tutorial and genuine flannels say it must look like.

`lab.observe` asks the lab; everything here is pure. `lab check`, the cluster tests and the last step of
`lab up` share these functions.
"""

from collections.abc import Iterable

from lab.checks.finding import Comparison, Finding, Kind, Subject, failed
from lab.checks.left_out import LeftOut, left_out
from lab.checks.registry import Check, chosen, every_check, judge, topics_of
from lab.observe import observe
from lab.protocols import LabAccess

__all__ = [
    "Check",
    "Comparison",
    "Finding",
    "Kind",
    "LeftOut",
    "Subject",
    "chosen",
    "every_check",
    "failed",
    "judge",
    "left_out",
    "run_all",
    "topics_of",
]


def run_all(lab: LabAccess, only: Iterable[str] = (), *, within: float | None = None) -> list[Finding]:
    """Run every check, or those with these identifiers, on a lab that is up.

    A node that does not answer is reported as one finding, and does not hide what other nodes show. It has
    `within` seconds, by default those of QUESTION.
    """
    checks = chosen(only)
    return judge(observe(lab, topics_of(checks), within=within), checks)
