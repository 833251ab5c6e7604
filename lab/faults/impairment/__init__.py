"""Network impairments inside a node: delay, jitter, loss, rate, duplicates, reordering, corruption, cuts.

`Rule` says what is done to which packets of a device; `start`, `stop`, `clear` and `status` do it on a
machine, and see whether it is done. Nothing is needed of the host.
"""

from lab.faults.impairment.control import clear, start, status, stop
from lab.faults.impairment.model import (
    PROTOCOLS,
    Direction,
    Impairment,
    Match,
    Rule,
    parse_impairment,
    parse_match,
)
from lab.faults.impairment.status import Standing, Status

__all__ = [
    "PROTOCOLS",
    "Direction",
    "Impairment",
    "Match",
    "Rule",
    "Standing",
    "Status",
    "clear",
    "parse_impairment",
    "parse_match",
    "start",
    "status",
    "stop",
]
