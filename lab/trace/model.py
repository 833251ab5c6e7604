"""A packet's way, hop by hop: what was decided from state, what was seen of it, and what is wrong. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Literal

from lab.trace.packet import Packet

__all__ = ["Action", "Component", "Fault", "Hop", "Leg", "Point", "Reason", "Step", "Way"]

Leg = Literal["there", "back"]


class Component(StrEnum):
    """What decides at a hop."""

    SOCKET = "socket"
    ROUTE = "route"
    LINK = "link"
    NEIGHBOUR = "neighbour"
    BRIDGE = "bridge"
    SOURCE_CHECK = "source check"
    FORWARDING = "forwarding"
    FIREWALL = "firewall"
    NAT = "nat"
    TRAFFIC_CONTROL = "traffic control"
    MTU = "mtu"
    ENCAPSULATION = "encapsulation"
    WIRE = "wire"
    DECAPSULATION = "decapsulation"


class Reason(StrEnum):
    """Why packets die, or suffer, at a hop; the words of Antrea's Traceflow where it has one."""

    NO_ROUTE = "NO_ROUTE"
    WRONG_ROUTE = "WRONG_ROUTE"
    NO_DEVICE = "NO_DEVICE"
    LINK_DOWN = "LINK_DOWN"
    ARP_FAIL = "ARP_FAIL"
    FDB_MISS = "FDB_MISS"
    FW_RULE = "FW_RULE"
    SOURCE_CHECK = "SOURCE_CHECK"
    NOT_FORWARDING = "NOT_FORWARDING"
    MTU = "MTU"
    NO_LEASE = "NO_LEASE"
    WRONG_ADDRESS = "WRONG_ADDRESS"
    NO_DAEMON = "NO_DAEMON"
    NO_LISTENER = "NO_LISTENER"
    TRAFFIC_CONTROL = "TRAFFIC_CONTROL"
    LOST = "LOST"
    """Packets are gone, and no state says why."""
    SILENT_MACHINE = "SILENT_MACHINE"


class Action(Enum):
    """What happens to the packet at a hop."""

    FORWARDED = "forwarded"
    DROPPED = "dropped"
    DELIVERED = "delivered"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at a hop, as state has it."""

    reason: Reason
    expected: str
    found: str
    because: str
    """Why packets die there, or what becomes of them."""
    fix: str
    """The command that mends it, to be pasted."""
    kills: bool = True
    """Whether no packet comes through; otherwise they may be late, fewer, or only some."""
    large_only: bool = False
    """Whether only packets of the largest size are concerned."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One decision on a packet's way."""

    machine: str
    namespace: str
    """Empty for the machine's own, else the pod's or container's name."""
    component: Component
    told: str
    """What was decided: a route, a rule, a device, in the words of the tools that show them."""
    fault: Fault | None = None
    action: Action = Action.FORWARDED
    perhaps: tuple[str, ...] = ()
    """Rules that may drop the packet: nobody here can tell what they match by."""

    @property
    def place(self) -> str:
        """Where it is, for a person."""
        return f"{self.machine}/{self.namespace}" if self.namespace else self.machine


@dataclass(frozen=True, slots=True)
class Point:
    """Where a packet can be seen between hops: as it leaves or enters a device."""

    machine: str
    namespace: str
    device: str
    way: str
    """out or in."""
    optional: bool = False
    """Whether a packet that goes on may not have been seen here, as a fast path goes around the device."""

    @property
    def place(self) -> str:
        """For a person."""
        where = f"{self.machine}/{self.namespace}" if self.namespace else self.machine
        return f"{where} {self.device} {self.way}"


Step = Hop | Point


@dataclass(frozen=True, slots=True)
class Way:
    """The way of a packet, by state, from socket to socket: hops, and the points between them."""

    packet: Packet
    steps: tuple[Step, ...] = field(default=())

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Without the points."""
        return tuple(step for step in self.steps if isinstance(step, Hop))

    @property
    def points(self) -> tuple[Point, ...]:
        """Where it can be seen."""
        return tuple(step for step in self.steps if isinstance(step, Point))

    def faults(self) -> Iterator[tuple[Hop, Fault]]:
        """What is wrong, in the order of the way."""
        for hop in self.hops:
            if hop.fault is not None:
                yield hop, hop.fault
