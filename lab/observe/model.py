"""What was seen of a lab, node by node, as values. A missing answer is a value as well. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import TypeAlias, TypeVar

from lab.node.services import Service
from lab.pods import RunningPod
from lab.spec import LabSpec, NodeSpec, ServiceName
from lab.spec.interface import Announced, announced, is_led
from lab.spec.segment import Family, Subnets

__all__ = [
    "LOGIN_WAYS",
    "PASSWORD",
    "File",
    "Lease",
    "Link",
    "Login",
    "NodeObservation",
    "Observation",
    "Output",
    "Ping",
    "Silent",
    "Told",
    "Topic",
    "known",
]

PASSWORD = "MYSQL_ROOT_PASSWORD"  # noqa: S105 - the variable's name
"""A pod that has this variable is a MySQL server, and has the client as well."""

LOGIN_WAYS = ("mysql", "pymysql")
"""The tutorial's client in the pod, and pymysql in the pod's network namespace."""

T = TypeVar("T")


class Topic(Enum):
    """What can be asked of a lab; the value names it for a person."""

    SERVICES = "services"
    VERSION = "version"
    """The version that each flanneld prints."""
    DIALECT = "dialect"
    """The same, only for those that are not ours: what they do depends on it."""
    CONFIG = "config"
    LEASES = "leases"
    LINKS = "links"
    ROUTES = "routes"
    ROUTES6 = "IPv6 routes"
    NEIGHBOURS = "neighbours"
    FDB = "fdb"
    SUBNET_ENV = "subnet.env"
    PODS = "pods"
    POD_LINKS = "pod links"
    PINGS = "pings"
    LOGINS = "logins"
    PROBES = "probes"
    COMMANDS = "commands"
    """Those of the lab file's own checks."""


@dataclass(frozen=True, slots=True)
class Silent:
    """An answer that a node did not give, or that could not be read."""

    reason: str
    since: datetime
    """When it was asked."""
    question: str = ""
    """The command; empty when the node answers nothing at all."""


Told: TypeAlias = T | Silent
"""An answer, or the fact that there was none."""


def known(value: "Told[T] | None") -> T | None:
    """The answer; None if there is none, or if nobody has asked."""
    return None if isinstance(value, Silent) else value


@dataclass(frozen=True, slots=True)
class Output:
    """How a command on a node ended."""

    exit_code: int
    stdout: str
    stderr: str
    late: str = ""
    """Which deadline it was killed at: `own`, or `all` for that of all questions."""

    @property
    def error(self) -> str:
        """The last line of its error output, or else of its output."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else f"exit status {self.exit_code} and no output"


@dataclass(frozen=True, slots=True)
class File:
    """A file on a node, if it exists."""

    text: str | None
    reason: str = ""
    """Why there is none, in the words of the command that looked for it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One key under PREFIX/subnets in etcd."""

    key: str
    subnet: IPv4Network | None
    """None when the key does not name a subnet."""
    value: str
    ttl: int
    """Seconds that are left; -1 when the key is not attached to an etcd lease."""
    subnet6: IPv6Network | None = None
    """That of IPv6, in an overlay that has it."""

    def of(self, family: Family) -> IPv4Network | IPv6Network | None:
        """The subnet of one family."""
        return self.subnet if family == 4 else self.subnet6


@dataclass(frozen=True, slots=True)
class Link:
    """A network device."""

    name: str
    up: bool
    """IFF_UP of linux/if.h; a TUN device has no carrier state to speak of ("state UNKNOWN")."""
    mtu: int
    queue: int | None
    """Transmit queue length in packets."""
    addresses: tuple[str, ...]
    """IPv4, such as 10.2.35.1/24."""
    mac: str = ""
    """Its Ethernet address, if it has one."""
    addresses6: tuple[str, ...] = ()
    """IPv6, but for those that the kernel gives each device of its link."""

    def of(self, family: Family) -> tuple[str, ...]:
        """The addresses of one family."""
        return self.addresses if family == 4 else self.addresses6


@dataclass(frozen=True, slots=True)
class Ping:
    """An echo request from one pod, or from one node's stand-in for one, to another."""

    client: str
    server: str
    ttl: int | None
    """Of the answer, which was sent with 64; None when there was none."""
    error: str
    family: Family = 4


@dataclass(frozen=True, slots=True)
class Login:
    """An attempt to log in to one pod's MySQL from another pod."""

    client: str
    server: str
    way: str
    """One of LOGIN_WAYS."""
    host: str
    """@@hostname; empty when there was no login."""
    version: str
    error: str
    source: str = ""
    """The client's address as the server sees it, as in its process list."""


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """What was seen of one node. None: nobody has asked, or the question does not apply to this node."""

    name: str
    address: IPv4Address | IPv6Address
    """The one that the lab gave it: in an overlay of IPv6 alone of that, else of IPv4."""
    state: str
    """Its container's, in the engine's words: running, paused, exited; absent if there is no container."""
    at: datetime
    """When it was asked."""
    services: Told[tuple[Service, ...]] | None = None
    version: Told[str] | None = None
    """The version that its flanneld prints."""
    config: Told[str] | None = None
    """The value of PREFIX/config, on a node that runs etcd."""
    leases: Told[tuple[Lease, ...]] | None = None
    """Likewise."""
    links: Told[Mapping[str, Link]] | None = None
    address6: IPv6Address | None = None
    """Its address of IPv6, if it has one."""
    routes: Told[tuple[str, ...]] | None = None
    """The lines of `ip -4 route`."""
    routes6: Told[tuple[str, ...]] | None = None
    """The lines of `ip -6 route`."""
    neighbours: Told[tuple[tuple[str, str], ...]] | None = None
    """Those that do not time out: device, and "ADDRESS MAC"."""
    fdb: Told[tuple[tuple[str, str], ...]] | None = None
    """Those that do not time out: device, and "MAC ADDRESS"."""
    subnet_env: Told[File] | None = None
    """/run/flannel/subnet.env."""
    pods: Told[tuple[RunningPod, ...]] | None = None
    pod_links: Told[Mapping[str, Mapping[str, Link]]] | None = None
    """By pod, then by device."""
    pings: Told[tuple[Ping, ...]] | None = None
    """From its pods to all others."""
    logins: Told[tuple[Login, ...]] | None = None
    """Likewise."""
    commands: Told[Mapping[str, Output]] | None = None
    """Those of the lab file's own checks that run on it, by the check's name."""
    probes: Told[tuple[Ping, ...]] | None = None
    """From where a container on it would be, to every other node of the overlay."""

    @property
    def silences(self) -> tuple[Silent, ...]:
        """The answers it did not give, once each."""
        told = (getattr(self, item.name) for item in fields(self))
        return tuple(dict.fromkeys(item for item in told if isinstance(item, Silent)))

    @property
    def silent(self) -> Silent | None:
        """Set if it does not answer at all."""
        return next((item for item in self.silences if not item.question), None)


@dataclass(frozen=True)  # without slots, for what is kept once it has been asked for
class Observation:
    """What was seen of a whole lab."""

    spec: LabSpec
    segments: Mapping[str, Subnets]
    """The subnets of the underlay's segments."""
    nodes: Mapping[str, NodeObservation] = field(default_factory=dict)
    """By name, in the lab file's order; only those that were looked at so far."""

    def running(self, service: ServiceName) -> tuple[NodeObservation, ...]:
        """The nodes that are meant to run a service."""
        return tuple(self.nodes[node.name] for node in self.spec.running(service) if node.name in self.nodes)

    def node_spec(self, name: str) -> NodeSpec:
        """What the lab file says of a node."""
        return next(node for node in self.spec.nodes if node.name == name)

    @cached_property
    def announced(self) -> Mapping[str, Announced]:
        """The interface that each node's flanneld takes: of ten nodes the checks ask for it 1,500 times."""
        return {node.name: announced(self.spec, node, self.segments) for node in self.spec.nodes}

    def is_led(self, one: str, other: str) -> bool:
        """Whether the overlay leads from the containers of one node to those of another."""
        return is_led(self.spec, self.node_spec(one), self.node_spec(other), self.segments)

    @property
    def minions(self) -> tuple[NodeObservation, ...]:
        """The nodes that run flanneld."""
        return self.running("flanneld")

    @property
    def overlay(self) -> tuple[NodeObservation, ...]:
        """The nodes whose containers are expected to reach each other, whatever carries their packets."""
        return tuple(self.nodes[node.name] for node in self.spec.overlay if node.name in self.nodes)

    @property
    def config(self) -> str | None:
        """The value of PREFIX/config in etcd; None where no etcd has answered."""
        return _first(known(node.config) for node in self.running("etcd"))

    @property
    def leases(self) -> tuple[Lease, ...] | None:
        """None where no etcd has answered."""
        return _first(known(node.leases) for node in self.running("etcd"))

    @property
    def pods(self) -> tuple[RunningPod, ...]:
        """The pods of all nodes that have answered, sorted by name."""
        found = [pod for node in self.nodes.values() for pod in known(node.pods) or ()]
        return tuple(sorted(found, key=lambda pod: pod.name))

    def pod(self, name: str) -> RunningPod | None:
        """One of them."""
        return next((pod for pod in self.pods if pod.name == name), None)


def _first(answers: Iterable[T | None]) -> T | None:
    return next((answer for answer in answers if answer is not None), None)
