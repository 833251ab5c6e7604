"""What `lab.doctor.inside.look` has seen of one machine, as values. None: it could not be seen. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.packet_filter import Ruleset

__all__ = [
    "Answer", "Device", "Etcd", "Filter", "Folder", "Holder", "Look", "Neighbour", "Process", "Qdisc", "Unit",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a unit."""

    pid: int
    name: str
    state: str
    """Its letter in proc(5): T where it is stopped."""
    clock: str = ""
    """The preloaded library that replaces the C library's clock, if there is one."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A service, as systemd sees it."""

    name: str
    active: str
    """ActiveState."""
    sub: str = ""
    """SubState."""
    result: str = "success"
    """How it ended last."""
    restarts: int = 0
    """NRestarts."""
    pid: int = 0
    """MainPID; 0 for none."""
    status: str = ""
    """StatusText: what it says of itself."""
    up: float | None = None
    """Seconds since it became active; None if it is not."""
    since_boot: float | None = None
    """Seconds from the machine's boot until it was started last."""
    processes: tuple[Process, ...] = ()
    oom_kills: int = 0
    """Processes of it that the kernel has killed for want of memory."""
    log: tuple[str, ...] = ()
    """Its last lines."""
    clock_ahead: float | None = None
    """Seconds by which its last line's own time is ahead of the journal's."""


@dataclass(frozen=True, slots=True)
class Device:
    """A network device."""

    name: str
    up: bool
    mtu: int
    carrier: bool = True
    kind: str = ""
    mac: str = ""
    addresses: tuple[str, ...] = ()
    """Global ones of both families, such as 10.2.35.1/24."""
    lost: int = 0
    """How often it has lost its carrier since it was made."""
    xdp: str = ""
    """The XDP program that is attached to it."""


@dataclass(frozen=True, slots=True)
class Qdisc:
    """A queueing discipline."""

    device: str
    kind: str
    parent: str
    options: str = ""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of tc at a device."""

    device: str
    direction: str
    """ingress or egress."""
    pref: int
    kind: str
    action: str
    """In words: drop, redirect to DEV; empty for one that lets packets pass."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the table of neighbours."""

    device: str
    address: str
    mac: str
    """Empty while it is not known."""
    state: str


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that receives on a port."""

    protocol: str
    port: int
    process: str
    pid: int


@dataclass(frozen=True, slots=True)
class Folder:
    """What may be written into a folder."""

    path: str
    there: bool
    read_only: bool = False
    free: int = 0
    size: int = 0
    """Bytes."""
    files_free: int = 0
    files: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an HTTP server has answered; status 0 if it has not."""

    status: int
    text: str


@dataclass(frozen=True, slots=True)
class Etcd:
    """A member of etcd, as it says itself."""

    health: str
    """Empty if it is healthy."""
    version: str = ""
    leader: bool = True
    """Whether it knows one."""
    alarms: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """One machine."""

    name: str
    wall: float
    """Its wall clock, when it was looked at."""
    boot: float
    """Seconds since its kernel has booted."""
    asked: tuple[float, float]
    """This host's wall clock just before and just after."""
    units: Mapping[str, Unit] = field(default_factory=dict)
    devices: Mapping[str, Device] | None = None
    qdiscs: tuple[Qdisc, ...] = ()
    filters: tuple[Filter, ...] = ()
    routes: Mapping[int, tuple[str, ...]] | None = None
    """By family: the networks that the main table has routes to, as `ip -json route` names them."""
    neighbours: tuple[Neighbour, ...] = ()
    holders: tuple[Holder, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """By path below /proc/sys."""
    folders: Mapping[str, Folder] = field(default_factory=dict)
    rules: Ruleset | None = None
    legacy: bool = False
    """Whether iptables' older tables are in use, which nftables does not show."""
    readyz: Answer | None = None
    reach: Mapping[str, str] = field(default_factory=dict)
    """By member of etcd: empty if a connection can be made, else why not."""
    etcd: Etcd | None = None
    checksum_errors: Mapping[str, int] = field(default_factory=dict)
    """By protocol: packets that have arrived with a wrong checksum."""

    def number(self, path: str) -> int | None:
        """A setting of the kernel; None if it is not there."""
        text = self.sysctls.get(path, "")
        return int(text) if text.removeprefix("-").isdigit() else None

    def device(self, name: str) -> Device | None:
        """One of its devices."""
        return (self.devices or {}).get(name)
