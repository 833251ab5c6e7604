"""The keys of a node in the lab file."""

import posixpath
import re
from collections.abc import Mapping
from ipaddress import IPv4Interface
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, ValidationInfo, field_validator, model_validator

from lab.spec.model import NOWHERE
from lab.spec.node import (
    EVERY_SERVICE,
    FROM_SUBNET_ENV,
    NO_BIP,
    ROLES,
    Docker,
    HostName,
    HostPart,
    Role,
    ServiceName,
)
from lab.spec.values import Options, Value
from lab.validation import Model, short

__all__ = ["FileKey", "FlanneldKey", "NodeKey"]

UNIT = re.compile(r"(?!-)[\w:.-]+(@[\w:.-]+)?\.(service|socket|path|timer|target|mount)", re.ASCII)
"""Names of systemd units (systemd.unit(5)), of the types that make sense in a container."""

SYSCTL = re.compile(r"(net|fs\.mqueue)(\.[\w/-]+)+|kernel\.(sem|shm\w+|msg\w+)", re.ASCII)
"""Settings that belong to a node's own namespaces."""

OF_THE_ENGINE = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
VOLATILE = ("proc", "sys", "dev", "run", "tmp")

MODE = re.compile(r"0?[0-7]{3}")


class FlanneldKey(Model):
    """The flanneld to run."""

    binary: str | None = None
    """A program's path, relative to the lab file. If left out: flanneld_py."""
    options: Options = ()
    """Options that this flanneld needs beside `flannel.options`."""


class DockerKey(Model):
    """How a node's Docker is started."""

    bip: str | None = None
    """docker0's address: `from-subnet-env`, one such as `10.9.1.1/24`, or `none` for Docker's default.
    If left out: `from-subnet-env` where flanneld runs, else `none`."""
    options: Options = ()
    """Further options of dockerd, one word each."""

    @field_validator("bip")
    @classmethod
    def _bip(cls, value: str) -> str:
        if value in {FROM_SUBNET_ENV, NO_BIP}:
            return value
        try:
            address = IPv4Interface(value)
        except ValueError:
            address = IPv4Interface("0.0.0.0/32")
        usable = 8 <= address.network.prefixlen <= 30 and address.ip != address.network.network_address
        if not usable or any(getattr(address.ip, kind) for kind in NOWHERE):
            raise ValueError(
                f"expected {FROM_SUBNET_ENV}, {NO_BIP}, or an address with its length such as 10.9.1.1/24; "
                f"got {short(value)}"
            )
        return value


class FileKey(Model):
    """A file that a node gets before its first boot."""

    path: str
    """Absolute, on the node."""
    text: str | None = None
    """Its content."""
    from_: str | None = Field(default=None, alias="from")
    """Instead of `text`: a file with the content, by its path relative to the lab file."""
    mode: str = "0644"
    """Its permissions in octal, in quotes."""

    @field_validator("path")
    @classmethod
    def _path(cls, value: str) -> str:
        if posixpath.normpath(value) != value or not re.fullmatch(r"/[^/\0].*", value, re.DOTALL):
            raise ValueError(f"expected an absolute path of a file; got {short(value)}")
        if value in OF_THE_ENGINE:
            raise ValueError(f"the engine puts its own {value} there")
        if value.split("/")[1] in VOLATILE or value.startswith(("/var/run/", "/var/lock/")):
            raise ValueError(f"{value} would be gone once the node boots; a unit can make it")
        return value

    @field_validator("mode")
    @classmethod
    def _mode(cls, value: str) -> str:
        if not MODE.fullmatch(value):
            raise ValueError(f'expected permissions such as "0755"; got {short(value)}')
        return value

    @model_validator(mode="after")
    def _one_content(self) -> "FileKey":
        if (self.text is None) == (self.from_ is None):
            raise ValueError("expected one of text and from")
        return self


class AttachmentKey(Model):
    """A further interface of a node."""

    segment: str
    """Which of `segments` it is on."""
    host: HostPart
    """The last octet of its address there."""


class ForwardKey(Model):
    """A port of a NAT's that leads to a node behind it."""

    port: Annotated[StrictInt, Field(ge=1, le=65535)]
    """Of both: vxlan's is 8472, that of udp 8285, that of wireguard 51820."""
    to: str
    """The node."""
    protocol: Literal["udp", "tcp"] = "udp"
    """`udp` or `tcp`."""


class NodeKey(Model):
    """A node: a container that stands in for a machine."""

    name: HostName
    """Its host name."""
    role: Role | None = None
    """Short for services: `master` for etcd, `minion` for flanneld and docker."""
    services: tuple[ServiceName, ...] | None = None
    """Instead of `role`: what it runs, any of etcd, flanneld and docker; `[]`: none of them."""
    host: HostPart
    """The last octet of its address."""
    engine: str | Mapping[str, Value] | None = None
    """Which of `engines` it is on: a name, or labels, such as `{disk: ssd}`, that the engine has. If several
    have them, or if left out: each of them in turn."""
    segment: str | None = None
    """Which of `segments` it is on with eth0. If left out: the first."""
    also_on: tuple[AttachmentKey, ...] = ()
    """Further segments that it is on, with eth1 and up."""
    router: StrictBool = False
    """Whether the other nodes reach other segments by way of it."""
    masquerade: tuple[str, ...] = ()
    """Segments that it hides, as a NAT does: what leaves them by way of it has its own address, and from
    elsewhere no route leads there."""
    forwards: tuple[ForwardKey, ...] = ()
    """Ports of its address that lead to nodes on those. A flanneld there announces the address."""
    flanneld: FlanneldKey | None = None
    """Which flanneld it runs. If left out: the lab's."""
    docker: DockerKey | None = None
    """How its Docker is started."""
    sysctls: Mapping[str, Value] = {}
    """Kernel settings of its own network, such as `net.ipv4.conf.all.rp_filter: 1`."""
    files: tuple[FileKey, ...] = ()
    """Files that it gets before its first boot."""
    units: Mapping[str, str] = {}
    """systemd units by name, such as `mydaemon.service`; they start with the node, and are checked."""

    @field_validator("services")
    @classmethod
    def _services(
        cls, value: tuple[ServiceName, ...] | None, info: ValidationInfo
    ) -> tuple[ServiceName, ...] | None:
        if value is None:
            return None
        if info.data.get("role") is not None:
            raise ValueError("there is a role already, which stands for services: expected one of the two")
        if len(set(value)) < len(value):
            raise ValueError(f"each service once; got {', '.join(value)}")
        return tuple(service for service in EVERY_SERVICE if service in value)

    @field_validator("flanneld", "docker")
    @classmethod
    def _where_it_runs(cls, value: Any, info: ValidationInfo) -> Any:
        service, runs = info.field_name, _services_of(info.data)
        if value is not None and runs is not None and service not in runs:
            raise ValueError(f"this node does not run {service}")
        return value

    @field_validator("sysctls")
    @classmethod
    def _of_its_own(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if not SYSCTL.fullmatch(name):
                raise ValueError(f"{name} is a setting of the host; a node has net.* and the like")
        return value

    @field_validator("units")
    @classmethod
    def _units(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name in value:
            if not UNIT.fullmatch(name):
                raise ValueError(f"{short(name)} is not a unit's name; expected one such as mydaemon.service")
            stem = name.partition(".")[0]
            if stem in {*EVERY_SERVICE, "containerd"} or stem.startswith("lab-"):
                raise ValueError(f"{name} is the lab's; a drop-in for it is one of `files`")
        return value

    @model_validator(mode="after")
    def _known_services(self) -> "NodeKey":
        if self.role is None and self.services is None:
            raise ValueError("required: role or services")
        return self

    @property
    def runs(self) -> tuple[ServiceName, ...]:
        """Its services, in start order."""
        return _services_of({"role": self.role, "services": self.services}) or ()

    @property
    def docker_spec(self) -> Docker:
        """How its Docker is started, with what follows from its services."""
        key = self.docker or DockerKey()
        usual = FROM_SUBNET_ENV if "flanneld" in self.runs else NO_BIP
        return Docker(bip=key.bip or usual, options=key.options)


def _services_of(data: Mapping[str, Any]) -> tuple[ServiceName, ...] | None:
    """The services of a node; None if it does not say."""
    if data.get("role") is not None:
        return ROLES[data["role"]]
    services: tuple[ServiceName, ...] | None = data.get("services")
    return services
