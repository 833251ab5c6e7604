"""What was seen of the host that the lab's engine is on, as values. None: it could not be seen. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

from lab.doctor.seen import Folder
from lab.packet_filter import Ruleset

__all__ = ["HOST", "Bridge", "Engine", "Host", "Image", "OtherLab", "Route"]

HOST = "host"
"""The subject of a diagnosis about it; of several, with the engine's name (`Host.subject`)."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The Docker engine."""

    version: str
    driver: str
    """Its storage driver."""
    cgroups: str
    """The version of control groups."""
    here: bool
    """Whether it is on this machine."""
    clock_ahead: float | None = None
    """Seconds by which its clock is ahead of ours."""
    warnings: tuple[str, ...] = ()
    root: str = ""
    """Where it keeps everything."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the host."""

    to: IPv4Network | IPv6Network
    device: str
    text: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """A network of a lab, on the host."""

    lab: str
    name: str
    """Of its device."""
    network: IPv4Network


@dataclass(frozen=True, slots=True)
class OtherLab:
    """One of the labs that there are."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Image:
    """One of the lab's images."""

    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Host:
    """The host. What only its own programs can tell is empty where the engine is elsewhere."""

    engine: Engine | None
    name: str = ""
    """What the lab file calls its engine, where there are several."""
    engine_error: str = ""
    """Why no engine answers."""
    engine_hint: str = ""
    backend: str = ""
    """Of the lab that is up, or that is wanted."""
    wanted: tuple[IPv4Network, ...] = ()
    """The underlays that the lab is to have, where its file says so."""
    kernel: Mapping[str, bool] = field(default_factory=dict)
    """By option of the kernel's configuration, whether it is there."""
    inotify_instances: int | None = None
    """How many somebody may have (fs.inotify.max_user_instances)."""
    inotify_used: int | None = None
    """How many root has."""
    files_open: int | None = None
    files_max: int | None = None
    """Of all processes (fs.file-nr)."""
    limit: int | None = None
    """Files that a process may open (RLIMIT_NOFILE)."""
    disk: Folder | None = None
    """Where the engine keeps everything."""
    memory: int | None = None
    memory_available: int | None = None
    """Bytes."""
    oom_kills: int | None = None
    """Since the host has booted."""
    routes: tuple[Route, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    here: bool = True
    """Whether it is this machine."""
    bridged_filtered: bool = False
    """Whether frames that a bridge forwards pass the packet filter (br_netfilter)."""
    rules: Ruleset | None = None
    lacks: tuple[str, ...] = ()
    """Capabilities that a machine of the lab needs and the engine itself does not have."""
    labs: tuple[OtherLab, ...] = ()
    images: tuple[Image, ...] = ()
    newest_source: float | None = None
    """When the newest of our own files was written."""
    wall: float = 0.0
    """The wall clock."""

    @property
    def subject(self) -> str:
        """What a diagnosis about it is about."""
        return f"{HOST} of {self.name}" if self.name else HOST

    def to_do(self, fix: Sequence[str]) -> tuple[str, ...]:
        """Commands that mend it, with where to type them; `lab` asks each engine by itself."""
        anywhere = [line for line in fix if line.startswith(("lab ", "#"))]
        there = [line for line in fix if line not in anywhere]
        if self.here or not self.name or not there:
            return tuple(fix)
        return (*anywhere, f"# on the host of the engine {self.name}:", *there)
