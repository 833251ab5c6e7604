"""Network impairments inside a node: delay, jitter, loss, rate, duplicates, reordering, corruption, cuts.

`Rule` says what is done to which packets of a device, `Status` what of it is in force.
"""

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
    "parse_impairment",
    "parse_match",
]
