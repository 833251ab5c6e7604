"""The outcome of one check."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Finding", "compare", "report"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison, both sides in words for a person."""

    check: str
    """What was compared, such as `flannel0 MTU`."""
    subject: str
    """On what: a machine, a pod, a pair of pods."""
    ok: bool
    expected: str
    seen: str


def compare(check: str, subject: str, expected: str, seen: str) -> Finding:
    """The two must be equal to the letter."""
    return Finding(check, subject, expected == seen, expected, seen)


def report(findings: Sequence[Finding], *, failed: bool = False) -> dict[str, Any]:
    """The document that `lab check --json` prints: all of the findings, or those that `failed`."""
    passed = sum(finding.ok for finding in findings)
    return {
        "passed": passed,
        "failed": len(findings) - passed,
        "findings": [asdict(finding) for finding in findings if not (failed and finding.ok)],
    }
