"""What a kernel needs to impair packets: devices and their names, filters, XDP programs. Pure."""

import re
from dataclasses import dataclass

from lab.faults.impairment.model import Impairment
from lab.faults.impairment.selector import Key, Selector

__all__ = [
    "EXIT", "HOLE", "PROBE", "RETURNING", "TAP_MTU", "VETH_MTU", "Filter", "Interface", "Pair", "Pipeline",
    "Tap", "Xdp", "impaired", "is_ours",
]  # fmt: skip

HOLE = "imp-hole"
"""A device without a carrier: what is sent by it is gone."""

PROBE = "imp-probe"
"""A device that is there for a moment, to see what the kernel can do."""

EXIT = "-x"
"""How the name of a pair's second device ends."""

OURS = re.compile(r"imp(\d+[oi]-(tbf|seg|netem|line)|-(in|out)\d+|-hole|-probe)(-x)?")

RETURNING = "pass "
"""How the target of a filter begins that lets pass what comes from a device of ours."""

VETH_MTU, TAP_MTU = 65535, 65521
"""The largest of each: super-packets are longer than a frame."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A device that is impaired, as the kernel has it now."""

    name: str
    index: int
    address: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two veth devices, NAME and NAME-x: what is sent by the first comes in by the second."""

    name: str
    address: str = ""
    """The second's, for what comes in: that of the impaired device, or it would be for somebody else."""
    qdisc: str = ""
    """The first's queueing discipline, as tc(8) takes it."""
    segments: bool = False
    """Whether super-packets leave it as the packets that they become on a wire."""

    @property
    def exit(self) -> str:
        """The second."""
        return f"{self.name}{EXIT}"


@dataclass(frozen=True, slots=True)
class Tap:
    """A device with a process: the delay line, which sends what it has received back by the same device."""

    name: str
    address: str
    """As a pair's."""
    impairment: Impairment

    @property
    def offloads(self) -> bool:
        """Whether it takes super-packets, which the kernel segments later."""
        return not self.impairment.befalls_single_packets

    @property
    def exit(self) -> str:
        """Itself."""
        return self.name


@dataclass(frozen=True, slots=True)
class Filter:
    """One of tc(8)'s: the first by preference that matches decides."""

    device: str
    hook: str
    preference: int
    protocol: str
    keys: tuple[Key, ...]
    target: str
    """`egress DEVICE`, `ingress DEVICE`; `pass DEVICE`: leave alone what comes from that device of ours."""
    slot: int

    def command(self) -> str:
        """The arguments of tc(8) that add it."""
        keys = " ".join(f"match u32 {key.value:#x} {key.mask:#x} at {key.offset}" for key in self.keys)
        kind, _, device = self.target.partition(" ")
        action = f"action mirred {kind} redirect dev {device}"
        if self.target.startswith(RETURNING):
            action = f"indev {device} flowid 1:1"
        return (
            f"filter add dev {self.device} {self.hook} pref {self.preference} protocol {self.protocol} "
            f"u32 {keys} {action}"
        )


@dataclass(frozen=True, slots=True)
class Xdp:
    """What is taken from a device's incoming packets: dropped, or sent into our devices."""

    device: str
    drop: tuple[Selector, ...]
    take: tuple[Selector, ...]
    to: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All that is to be there."""

    pairs: frozenset[Pair] = frozenset()
    taps: frozenset[Tap] = frozenset()
    filters: frozenset[Filter] = frozenset()
    xdp: frozenset[Xdp] = frozenset()

    def __or__(self, other: "Pipeline") -> "Pipeline":
        return Pipeline(
            self.pairs | other.pairs,
            self.taps | other.taps,
            self.filters | other.filters,
            self.xdp | other.xdp,
        )

    def __sub__(self, other: "Pipeline") -> "Pipeline":
        return Pipeline(
            self.pairs - other.pairs,
            self.taps - other.taps,
            self.filters - other.filters,
            self.xdp - other.xdp,
        )

    @property
    def devices(self) -> tuple[Pair | Tap, ...]:
        """What packets pass, in the order of their names."""
        return tuple(sorted((*self.pairs, *self.taps), key=lambda item: item.name))

    @property
    def links(self) -> frozenset[str]:
        """The names of its devices."""
        pairs = {name for pair in self.pairs for name in (pair.name, pair.exit)}
        return frozenset(pairs | {tap.name for tap in self.taps})


def is_ours(device: str) -> bool:
    """Whether a device is one that `lab.faults.impairment` makes, by its name."""
    return OURS.fullmatch(device) is not None


def impaired(whole: Pipeline) -> frozenset[str]:
    """The devices, other than ours, that have filters of a plan."""
    return frozenset(item.device for item in whole.filters if not is_ours(item.device))
