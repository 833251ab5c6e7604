"""One node of a lab: its services, and what it is given besides."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Interface
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, StrictInt

from lab.spec.program import Flanneld
from lab.spec.source import Source
from lab.validation import DNS_LABEL, DNS_LABEL_WORDS, Model

__all__ = [
    "EVERY_SERVICE",
    "FROM_SUBNET_ENV",
    "NO_BIP",
    "ROLES",
    "Attachment",
    "Docker",
    "Forward",
    "HostName",
    "HostPart",
    "NodeFile",
    "NodeSpec",
    "Role",
    "ServiceName",
]

ServiceName = Literal["etcd", "flanneld", "docker"]
EVERY_SERVICE: tuple[ServiceName, ...] = get_args(ServiceName)
"""In start order."""

Role = Literal["master", "minion"]
ROLES: Mapping[Role, tuple[ServiceName, ...]] = {"master": ("etcd",), "minion": ("flanneld", "docker")}
"""The lab file's short form for services, in the tutorial's words. Everything else refers to services."""

HOST_NAME = re.compile(DNS_LABEL)

FROM_SUBNET_ENV = "from-subnet-env"
NO_BIP = "none"


def _host_name(value: str) -> str:
    if not HOST_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a host name: {DNS_LABEL_WORDS}")
    return value


HostName = Annotated[str, AfterValidator(_host_name)]
HostPart = Annotated[StrictInt, Field(ge=2, le=254)]
"""Not 1: that is the underlay's bridge."""


class Attachment(Model):
    """A node's place on a segment of the underlay: one of its interfaces."""

    segment: str
    host: HostPart
    """51 for 192.168.199.51."""


class Forward(Model):
    """What comes to a router's own address from elsewhere, and goes on to a node that it hides."""

    port: int
    to: str
    """The node."""
    protocol: Literal["udp", "tcp"] = "udp"


class Docker(Model):
    """How a node's own Docker is started."""

    bip: str = FROM_SUBNET_ENV
    """docker0's address, with its length; or that of the node's subnet.env; or none, for Docker's default."""
    options: tuple[str, ...] = ()
    """Further options of dockerd."""

    @property
    def address(self) -> IPv4Interface | None:
        """docker0's address, if it is fixed."""
        return None if self.bip in {FROM_SUBNET_ENV, NO_BIP} else IPv4Interface(self.bip)


class NodeFile(Model):
    """A file that a node gets before its first boot."""

    path: str
    """Absolute, on the node."""
    mode: int
    text: str | None = None
    """Its content, unless that is in `source`."""
    source: Source | None = None


class NodeSpec(Model):
    """A node with what it runs."""

    name: HostName
    host: HostPart
    """Of eth0: 51 for 192.168.199.51."""
    engine: str = ""
    """Of a lab on several engines, the name of the one that it is on."""
    segment: str = "underlay"
    """That eth0 is on."""
    also_on: tuple[Attachment, ...] = ()
    """Its further interfaces, eth1 and up."""
    router: bool = False
    """Whether other nodes' routes to other segments lead by way of it."""
    masquerade: tuple[str, ...] = ()
    """Segments that it hides: what leaves them by way of it has its own address; no route leads there."""
    forwards: tuple[Forward, ...] = ()
    """Of a router that hides some."""
    services: tuple[ServiceName, ...]
    """In start order."""
    flanneld: Flanneld = Flanneld()
    """Used if the node runs flanneld."""
    docker: Docker = Docker()
    """Used if the node runs docker."""
    sysctls: Mapping[str, str] = {}
    files: tuple[NodeFile, ...] = ()
    units: Mapping[str, str] = {}
    """systemd units of the lab file's own, by name; they start when the node boots."""

    @property
    def outside(self) -> tuple[Attachment, ...]:
        """Its interfaces that are not on a segment that it hides."""
        return tuple(place for place in self.attachments if place.segment not in self.masquerade)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """Its interfaces, eth0 first."""
        return (Attachment(segment=self.segment, host=self.host), *self.also_on)

    @property
    def role(self) -> Role | None:
        """The tutorial's word for a node with these services."""
        return next((role for role, services in ROLES.items() if services == self.services), None)

    def runs(self, service: ServiceName) -> bool:
        """Whether the node runs this service."""
        return service in self.services

    @property
    def watched(self) -> tuple[str, ...]:
        """The units that have to be active on it: its services, and the services among its own units."""
        own = (name.removesuffix(".service") for name in self.units if name.endswith(".service"))
        return (*self.services, *own)

    @property
    def in_overlay(self) -> bool:
        """Whether its containers have addresses that other nodes are expected to reach.

        flannel leads nobody to an address that it has not leased.
        """
        follows = self.docker.bip == FROM_SUBNET_ENV
        return self.runs("docker") and (follows or (self.docker.bip != NO_BIP and not self.runs("flanneld")))
