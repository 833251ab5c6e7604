"""What a lab looks like right now: every node is asked about itself.

`observe` asks once and returns all answers, `stream` yields each node as it answers. `lab check`,
`lab status`, the last step of `lab up` and the tutorial's replay read the same values, and what they derive
from them is pure.
"""

from lab.observe.ask import EVERYTHING, observe, stream
from lab.observe.model import (
    LOGIN_WAYS,
    PASSWORD,
    File,
    Lease,
    Link,
    Login,
    NodeObservation,
    Observation,
    Output,
    Ping,
    Silent,
    Told,
    Topic,
    known,
)

__all__ = [
    "EVERYTHING",
    "LOGIN_WAYS",
    "PASSWORD",
    "File",
    "Lease",
    "Link",
    "Login",
    "NodeObservation",
    "Observation",
    "Output",
    "Ping",
    "Silent",
    "Told",
    "Topic",
    "known",
    "observe",
    "stream",
]
