"""What is to be traced. Pure."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["COUNT", "Asked"]

COUNT = 20
"""Probes of the ordinary size, unless another number is asked for."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be traced."""

    source: str
    destination: str
    protocol: Literal["icmp", "udp", "tcp"] = "icmp"
    port: int = 0
    count: int = COUNT
    size: int = 0
    """Bytes of every probe, IP header included; 0 for small ones and a few as large as its device."""
    family: Literal[4, 6] = 4
