"""What was seen of a lab, node by node, as values. That somebody did not answer is a value as well. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import TypeAlias, TypeVar

from lab.node.services import Service
from lab.pods import RunningPod
from lab.spec import LabSpec, NodeSpec, ServiceName

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
    """What each flanneld says of itself."""
    DIALECT = "dialect"
    """The same, of those that are not ours: only they do things in ways of their own."""
    CONFIG = "config"
    LEASES = "leases"
    LINKS = "links"
    ROUTES = "routes"
    NEIGHBOURS = "neighbours"
    FDB = "fdb"
    SUBNET_ENV = "subnet.env"
    PODS = "pods"
    POD_LINKS = "pod links"
    PINGS = "pings"
    LOGINS = "logins"
    PROBES = "probes"


@dataclass(frozen=True, slots=True)
class Silent:
    """Something that a node did not tell, or not so that it can be read."""

    reason: str
    since: datetime
    """When it was asked."""
    question: str = ""
    """The command; empty when the node answers nothing at all."""


Told: TypeAlias = T | Silent
"""An answer, or that there was none."""


def known(value: "Told[T] | None") -> T | None:
    """The answer; None where there is none, or nobody has asked."""
    return None if isinstance(value, Silent) else value


@dataclass(frozen=True, slots=True)
class Output:
    """How a command on a node ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """Its last line of complaint."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else f"exit status {self.exit_code} and no output"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a node's, if there is one."""

    text: str | None
    reason: str = ""
    """Why there is none, in the words of who looked for it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One key under PREFIX/subnets in etcd."""

    key: str
    subnet: IPv4Network | None
    """None when the key is no subnet's."""
    value: str
    ttl: int
    """Seconds that are left; -1 when the key is bound to no etcd lease."""


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


@dataclass(frozen=True, slots=True)
class Ping:
    """An echo request from one pod, or from one node's stand-in for one, to another."""

    client: str
    server: str
    ttl: int | None
    """Of the answer, which began with 64; None when there was none."""
    error: str


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
    """The address that the server sees the client at, as in its process list."""


@dataclass(frozen=True, slots=True)
class NodeObservation:
    """What one node was seen to be. None: nobody has asked, or it is not for this node to say."""

    name: str
    address: IPv4Address
    """That the lab gave it."""
    state: str
    """Its container's, in the engine's word: running, paused, exited; absent where there is none."""
    at: datetime
    """When it was asked."""
    services: Told[tuple[Service, ...]] | None = None
    version: Told[str] | None = None
    """What its flanneld says of itself."""
    config: Told[str] | None = None
    """The value of PREFIX/config, of a node that runs etcd."""
    leases: Told[tuple[Lease, ...]] | None = None
    """Likewise."""
    links: Told[Mapping[str, Link]] | None = None
    routes: Told[tuple[str, ...]] | None = None
    """The lines of `ip -4 route`."""
    neighbours: Told[tuple[tuple[str, str], ...]] | None = None
    """That do not time out: device, and "ADDRESS MAC"."""
    fdb: Told[tuple[tuple[str, str], ...]] | None = None
    """That do not time out: device, and "MAC ADDRESS"."""
    subnet_env: Told[File] | None = None
    """/run/flannel/subnet.env."""
    pods: Told[tuple[RunningPod, ...]] | None = None
    pod_links: Told[Mapping[str, Mapping[str, Link]]] | None = None
    """By pod, then by device."""
    pings: Told[tuple[Ping, ...]] | None = None
    """From its pods to all others."""
    logins: Told[tuple[Login, ...]] | None = None
    """Likewise."""
    probes: Told[tuple[Ping, ...]] | None = None
    """From where a container of its own would be to each other node of the overlay."""

    @property
    def silences(self) -> tuple[Silent, ...]:
        """What it did not tell, each once."""
        told = (getattr(self, item.name) for item in fields(self))
        return tuple(dict.fromkeys(item for item in told if isinstance(item, Silent)))

    @property
    def silent(self) -> Silent | None:
        """That it answers nothing at all, if so."""
        return next((item for item in self.silences if not item.question), None)


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a whole lab."""

    spec: LabSpec
    underlay: IPv4Network
    nodes: Mapping[str, NodeObservation] = field(default_factory=dict)
    """By name, in the lab file's order; of those only that were looked at so far."""

    def running(self, service: ServiceName) -> tuple[NodeObservation, ...]:
        """The nodes that are to run a service."""
        return tuple(self.nodes[node.name] for node in self.spec.running(service) if node.name in self.nodes)

    def node_spec(self, name: str) -> NodeSpec:
        """What the lab file says of a node."""
        return next(node for node in self.spec.nodes if node.name == name)

    @property
    def minions(self) -> tuple[NodeObservation, ...]:
        """The nodes that are in the overlay."""
        return self.running("flanneld")

    @property
    def config(self) -> str | None:
        """The value of PREFIX/config in etcd; None where no etcd says."""
        return _first(known(node.config) for node in self.running("etcd"))

    @property
    def leases(self) -> tuple[Lease, ...] | None:
        """None where no etcd says."""
        return _first(known(node.leases) for node in self.running("etcd"))

    @property
    def pods(self) -> tuple[RunningPod, ...]:
        """Those of the nodes that say, by name."""
        found = [pod for node in self.nodes.values() for pod in known(node.pods) or ()]
        return tuple(sorted(found, key=lambda pod: pod.name))

    def pod(self, name: str) -> RunningPod | None:
        """One of them."""
        return next((pod for pod in self.pods if pod.name == name), None)


def _first(answers: Iterable[T | None]) -> T | None:
    return next((answer for answer in answers if answer is not None), None)
