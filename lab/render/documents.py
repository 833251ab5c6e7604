"""What a program reads: the documents of `--json`, values in, JSON out. Keys are camelCase."""

from collections.abc import Mapping, Sequence
from typing import Any

from lab.checks import Finding, Kind, failed

__all__ = ["check"]


def check(findings: Sequence[Finding], *, failures: bool = False) -> Mapping[str, Any]:
    """`lab check`: all of the findings, or those that do not hold."""
    counts = {kind: sum(item.kind is kind for item in findings) for kind in Kind}
    return {
        "passed": counts[Kind.PASS],
        "failed": counts[Kind.FAIL],
        "unknown": counts[Kind.UNKNOWN],
        "findings": [_finding(item) for item in (failed(findings) if failures else findings)],
    }


def _finding(item: Finding) -> Mapping[str, Any]:
    return {
        "id": item.id,
        "title": item.title,
        "kind": item.kind.value,
        "subject": item.subject.data,
        "expected": item.expected.data,
        "seen": item.seen.data,
        "expectedText": item.expected.text,
        "seenText": item.seen.text,
    }
