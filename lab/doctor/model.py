"""What a diagnosis says. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

__all__ = ["Diagnosis", "Found", "Layer", "Severity"]


class Severity(Enum):
    """How much it matters."""

    MEND = "mend"
    """Something does not work because of it, or soon will not."""
    NOTE = "note"
    """Worth knowing."""


class Layer(IntEnum):
    """From the ground up: what is wrong below is why much above is wrong."""

    HOST = 0
    MACHINE = 1
    CLOCK = 2
    UNDERLAY = 3
    """The network of the machines themselves."""
    UNIT = 4
    STORE = 5
    """etcd, and what flannel has in it."""
    LEASE = 6
    READINESS = 7
    """What flanneld says of itself: it suffers from all above."""
    KERNEL = 8
    DEVICE = 9
    ROUTE = 10
    FIREWALL = 11
    QUEUE = 12
    """What delays, drops and redirects packets at a device."""
    POD = 13
    CHECK = 14
    """What `lab check` finds and nothing here explains."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one diagnosis has found, once."""

    subject: str
    """The machine, pod or key that it is about; `host` for what the lab runs on, `host of ENGINE`
    where that is several."""
    what: str
    """One line."""
    evidence: Sequence[str]
    """What was seen, verbatim where possible; one line each."""
    fix: Sequence[str]
    """Commands that can be pasted."""
    severity: Severity | None = None
    """None for that of the diagnosis."""
    layer: Layer | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is shown."""

    id: str
    """Stable, such as `kernel.ip-forward`."""
    layer: Layer
    severity: Severity
    subject: str
    what: str
    evidence: tuple[str, ...]
    fix: tuple[str, ...]
