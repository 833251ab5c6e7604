"""What a walk is told beyond the machines' tables: routes that are asked for, leases, ends. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from lab.trace.packet import Address

__all__ = ["Answer", "Ask", "End", "Lease", "Overlay", "Question"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a kernel would do with a packet (RTM_GETROUTE)."""

    machine: str
    namespace: str
    to: str
    source: str
    into: str
    """The device that it came in by; empty for one of the machine's own."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A route, or why there is none."""

    device: str = ""
    via: str = ""
    source: str = ""
    """The address that the kernel would give its own packets."""
    local: bool = False
    """Whether it is for this machine itself."""
    error: str = ""


Ask = Callable[[Question], Answer]


@dataclass(frozen=True, slots=True)
class Lease:
    """A subnet, and the machine that has it."""

    subnet: IPv4Network | IPv6Network
    address: Address
    """Its PublicIP."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a way begins or ends."""

    title: str
    machine: str
    namespace: str
    address: Address


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is known of the overlay."""

    leases: tuple[Lease, ...]
    leases_known: bool
    port: int = 0
    """UDP, that machines receive pods' packets on; 0 with a backend without datagrams."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Of IPv4 and of IPv6, as far as it has them."""
    silent: Mapping[str, str] = field(default_factory=dict)
    """The machines that say nothing of themselves, by their addresses."""
    members: frozenset[str] = frozenset()
    """The machines that have a flanneld."""
