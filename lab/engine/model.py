"""Plain values passed to and from the engine, without SDK objects."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

from lab.errors import LabError, Unfit

__all__ = [
    "Confinement",
    "Container",
    "ContainerConfig",
    "EngineUnavailable",
    "ExecResult",
    "FileContent",
    "ImageInfo",
    "Network",
    "SubnetTaken",
    "Volume",
    "network_of",
    "tar",
    "text_files",
]


class EngineUnavailable(Unfit):
    """No Docker engine answers. `named` is what selected one, such as "DOCKER_HOST is tcp://builder:2376"."""

    def __init__(self, message: str, *, hint: str = "", named: str = "") -> None:
        super().__init__(message, hint=hint)
        self.named = named


class SubnetTaken(LabError):
    """Another network of the engine overlaps the requested subnet."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """A regular file for a container or a build context; owned by root."""

    data: bytes
    mode: int = 0o644


def text_files(texts: Mapping[str, str]) -> Mapping[str, FileContent]:
    """Files of these texts, by path."""
    return {path: FileContent(text.encode()) for path, text in texts.items()}


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The result of a command in a container, with separate output streams."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, decoded."""
        return self.stdout.decode(errors="replace")

    @property
    def output(self) -> str:
        """Both streams, for an error message."""
        return (self.stderr + self.stdout).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Confinement:
    """The privileges of a container; for what is left out, the engine's default."""

    capabilities: Sequence[str] = ()
    devices: Sequence[str] = ()
    security: Sequence[str] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    tmpfs: Sequence[str] = ()
    privileged: bool = False
    """Every capability and device, and `/proc` and `/sys` writable."""


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """The parameters of a container: those of the engine's that the lab needs, under the engine's names."""

    name: str
    image: str
    labels: Mapping[str, str]
    hostname: str | None = None
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    networks: Mapping[str, str | None] = field(default_factory=dict)
    """Network name -> the address in it, if it is ours to choose; without any, there is no network."""
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Name -> its addresses, for /etc/hosts."""
    confinement: Confinement = field(default_factory=Confinement)
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Volume name -> mount point; mounted read-only if the mount point ends in `:ro`."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine lists it."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: str
    """created, running, paused, restarting, exited or dead."""
    status: str
    """The engine's human-readable description, such as "Up 3 minutes"."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the engine."""

    id: str
    name: str
    labels: Mapping[str, str]
    subnets: tuple[str, ...]
    of_swarm: bool = False
    """Whether it reaches from engine to engine."""

    @property
    def underlay(self) -> IPv4Network:
        """Its first subnet."""
        return IPv4Network(self.subnets[0])


def network_of(attrs: Mapping[str, Any]) -> Network:
    """Read a network as the engine describes it."""
    pools = (attrs.get("IPAM") or {}).get("Config") or ()
    return Network(
        attrs["Id"],
        attrs["Name"],
        attrs.get("Labels") or {},
        tuple(pool["Subnet"] for pool in pools),
        attrs.get("Scope") == "swarm",
    )


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the engine."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image of the engine."""

    id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size: int
    """Bytes."""


def tar(files: Mapping[str, FileContent]) -> bytes:
    """Pack files, by absolute or relative path, into a tar; the same input yields the same tar."""
    import tarfile  # with what compresses, which no verb needs that only looks

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in sorted(files.items()):
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode = len(content.data), content.mode
            archive.addfile(info, io.BytesIO(content.data))
    return buffer.getvalue()
