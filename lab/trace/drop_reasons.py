"""Why the kernel has dropped probes and answers, by its own reasons: what its tracepoint has told. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.trace.marks import Kind, Marks

__all__ = ["Dropped", "read"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """One packet, once."""

    machine: str
    """One of those that share the kernel which has told it."""
    kind: Kind
    number: int
    """The probe's."""
    reason: str
    """As enum skb_drop_reason has it (include/net/dropreason-core.h), without the prefix that all have."""
    inode: int
    """The network namespace's of the device that had it; 0 where it had none."""


def read(machine: str, told: Iterable[Mapping[str, Any]], marks: Marks) -> Iterator[Dropped]:
    """What a machine's program has told, in its order."""
    for item in told:
        seen = {"device": "", "way": "", "at": 0, "data": item["data"]}
        for found in marks.read("", "", [seen]):
            yield Dropped(machine, found.kind, found.number, item["reason"], item["namespace"])
