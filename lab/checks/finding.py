"""The outcome of a check. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from lab.checks.values import Data, Failure, Value

__all__ = ["Comparison", "Finding", "Kind", "Subject", "compare", "equal", "failed", "unknown"]

SubjectKind = Literal["node", "nodePair", "pod", "podPair", "etcdKey", "etcd"]


class Kind(Enum):
    """The outcome of one comparison."""

    PASS = "pass"  # noqa: S105 - no password
    """What was seen is what was expected."""
    FAIL = "fail"
    """Something else was seen."""
    UNKNOWN = "unknown"
    """It could not be seen: the node that was asked did not answer."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a finding is about."""

    kind: SubjectKind
    names: tuple[str, ...]
    """For a pair, the one that initiates comes first."""
    part: str = ""
    """For a node or pod: which of its devices or services."""

    @classmethod
    def node(cls, name: str, part: str = "") -> "Subject":
        """A machine of the lab, or one of its devices or services."""
        return cls("node", (name,), part)

    @classmethod
    def pod(cls, name: str, part: str = "") -> "Subject":
        """A pod, or one of its devices."""
        return cls("pod", (name,), part)

    @property
    def data(self) -> Data:
        """For a program."""
        return {"kind": self.kind, "names": self.names} | ({"part": self.part} if self.part else {})

    def __str__(self) -> str:
        return " -> ".join(self.names)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a check yields, once for each subject."""

    subject: Subject
    kind: Kind
    expected: Value
    seen: Value


def compare(subject: Subject, ok: bool, expected: Value, seen: Value) -> Comparison:
    """The result of a rule that the check itself has applied."""
    return Comparison(subject, Kind.PASS if ok else Kind.FAIL, expected, seen)


def equal(subject: Subject, expected: Value, seen: Value) -> Comparison:
    """The two must be the same."""
    return compare(subject, expected.data == seen.data, expected, seen)


def unknown(subject: Subject, expected: Value, reason: str) -> Comparison:
    """The result when nothing could be seen."""
    return Comparison(subject, Kind.UNKNOWN, expected, Failure(reason))


def failed(found: "Iterable[Finding]") -> "list[Finding]":
    """The findings that do not hold or are unknown."""
    return [finding for finding in found if not finding.ok]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one subject."""

    id: str
    """The check's identifier, such as `leases.value`. It stays the same even if the wording changes."""
    title: str
    """For a person, such as `flannel0 MTU`."""
    kind: Kind
    subject: Subject
    expected: Value
    seen: Value

    @property
    def ok(self) -> bool:
        """Whether it was seen to be right."""
        return self.kind is Kind.PASS
