"""What machines have written down in a round (`lab.soak.inside.record`). Pure."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ETCD", "FDB", "KERNEL", "READY", "SUBNET_ENV", "Line", "lines_of", "spoken"]

ETCD, FDB, KERNEL, READY, SUBNET_ENV = "etcd", "fdb", "kernel", "ready", "subnet.env"
"""What recorders are asked for."""


@dataclass(frozen=True, slots=True)
class Line:
    """Something that a machine showed."""

    at: float
    """Seconds from the round's beginning."""
    node: str
    source: str
    """What showed it, as the recorder was asked for it."""
    text: str | None


def lines_of(node: str, text: str, zero: float) -> list[Line]:
    """A recorder's file; its last line may be half written."""
    found = []
    for row in text.splitlines():
        try:
            at, source, said = json.loads(row)
        except ValueError:
            continue
        found.append(Line(at - zero, node, source, said))
    return found


def spoken(lines: Iterable[Line], node: str, source: str) -> list[Line]:
    """Those of one source on one machine."""
    return [line for line in lines if (line.node, line.source) == (node, source)]
