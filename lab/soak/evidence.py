"""What was seen of one round: which faults were in force when, what was lost, what was wrong. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from lab.checks import Finding
from lab.soak.schedule import Entry

__all__ = ["Applied", "Evidence", "Lost"]


@dataclass(frozen=True, slots=True)
class Applied:
    """A fault of the round, as it was done. Times are seconds from the round's beginning."""

    entry: Entry
    began: float
    ended: float
    """For an event, when it was done."""
    done: bool = True
    """Whether it was started at all; another fault of the round may be in its way."""
    error: str = ""
    """Why it was not done, or not ended."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Datagrams of one flow that did not arrive."""

    sender: str
    receiver: str
    after: float
    """They were sent between these times, in seconds from the round's beginning."""
    before: float
    count: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it."""

    applied: tuple[Applied, ...]
    lost: tuple[Lost, ...] = ()
    wrong: tuple[Finding, ...] = ()
    """The checks that did not hold so long after everything was ended."""
    subnets_before: Mapping[str, str] | None = None
    subnets_after: Mapping[str, str] | None = None
    """FLANNEL_SUBNET by node; empty where there is none."""
    panics: Mapping[str, str] | None = None
    """By node, the lines of its journal that no program should write."""
    left: tuple[str, ...] = ()
    """What could not be ended."""
