"""What was seen of one round: which faults were in force when, what got lost, what was wrong. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lab.checks import Finding
from lab.soak.history import Change
from lab.soak.records import Line
from lab.soak.schedule import Entry

__all__ = ["Applied", "Evidence", "Gap", "GapKind", "Missing", "Remains"]

GapKind = Literal["datagrams", "stalled", "broken", "refused"]
"""Datagrams that were lost; a TCP message that was acknowledged late, a connection that ended, and one that
did not come about."""


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

    @property
    def counts(self) -> bool:
        """Whether something was done: of several machines some may have had it when one could not."""
        return self.done or len(self.entry.targets) > 1


@dataclass(frozen=True, slots=True)
class Gap:
    """Something of one flow that did not get through."""

    kind: GapKind
    sender: str
    receiver: str
    after: float
    """It was sent between these times, in seconds from the round's beginning."""
    before: float
    words: str


@dataclass(frozen=True, slots=True)
class Missing:
    """Rows that a MySQL server has acknowledged to a client, and does not have."""

    client: str
    server: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Remains:
    """What a machine has that comes and goes with its services, sorted, with everybody's subnets by name."""

    devices: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    """Of policy routing."""
    filters: tuple[str, ...] = ()
    """Rules of the packet filter."""
    processes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it."""

    applied: tuple[Applied, ...]
    seconds: float = 0.0
    """How long the round was."""
    gaps: tuple[Gap, ...] = ()
    content: tuple[str, ...] = ()
    """TCP messages that arrived as other ones."""
    missing: tuple[Missing, ...] = ()
    unasked: Mapping[str, str] = field(default_factory=dict)
    """MySQL servers that have not said which rows they have, and why."""
    wrong: tuple[Finding, ...] = ()
    """The checks that did not hold so long after everything was ended."""
    subnets_before: Mapping[str, str] = field(default_factory=dict)
    subnets_after: Mapping[str, str] = field(default_factory=dict)
    """FLANNEL_SUBNET by node; empty where there is none."""
    leases_before: tuple[Change, ...] = ()
    """flannel's keys, as if each was written when the round began."""
    leases_after: tuple[Change, ...] | None = None
    """Likewise when it was over; None where nobody has asked."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By node, the address that its lease names when the round begins."""
    lines: tuple[Line, ...] = ()
    """What machines have written down."""
    cut: frozenset[str] = frozenset()
    """Nodes that have written nothing down after their last line, as those that have rebooted."""
    logs: tuple[Line, ...] = ()
    """What services have said, by unit."""
    panics: Mapping[str, str] = field(default_factory=dict)
    """By node, the lines of its journal that no program should write."""
    remains_before: Mapping[str, Remains] = field(default_factory=dict)
    remains_after: Mapping[str, Remains] = field(default_factory=dict)
    left: tuple[str, ...] = ()
    """What could not be ended."""
