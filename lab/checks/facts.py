"""What was seen of a lab, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lab.pods import RunningPod
from lab.services import Service
from lab.spec import LabSpec

__all__ = [
    "LOGIN_WAYS",
    "PASSWORD",
    "Facts",
    "Lease",
    "Link",
    "Login",
    "Minion",
    "Output",
    "Ping",
    "Silence",
]

PASSWORD = "MYSQL_ROOT_PASSWORD"  # noqa: S105 - the variable's name
"""A pod that has this variable is a MySQL server, and has the client as well."""

LOGIN_WAYS = ("mysql", "pymysql")
"""The tutorial's client in the pod, and pymysql in the pod's network namespace."""


@dataclass(frozen=True, slots=True)
class Output:
    """How a command on a machine ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """Its last line of complaint."""
        lines = (self.stderr.strip() or self.stdout.strip()).splitlines()
        return lines[-1] if lines else f"exit status {self.exit_code} and no output"


@dataclass(frozen=True, slots=True)
class Silence:
    """A question that a machine did not answer, or not so that it can be read."""

    machine: str
    question: str
    """The command; empty when the machine answers nothing at all."""
    why: str


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
class Minion:
    """One machine that runs flanneld. None: it did not say, and a `Silence` tells why."""

    name: str
    address: IPv4Address
    """That the lab gave it."""
    links: Mapping[str, Link] | None = None
    routes: tuple[str, ...] | None = None
    """The lines of `ip -4 route`."""
    subnet_env: str | None = None
    """The text of /run/flannel/subnet.env, or why there is none."""
    version: str = ""
    """What its flanneld calls itself, if it is not ours."""
    neighbours: tuple[tuple[str, str], ...] | None = ()
    """That do not time out: device, and "ADDRESS MAC"."""
    fdb: tuple[tuple[str, str], ...] | None = ()
    """That do not time out: device, and "MAC ADDRESS"."""


@dataclass(frozen=True, slots=True)
class Ping:
    """An echo request from one pod, or from one minion's stand-in for one, to another."""

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
class Facts:
    """Everything that the checks look at."""

    spec: LabSpec
    underlay: IPv4Network
    config: str | None
    """The value of PREFIX/config in etcd; None when etcd did not say."""
    leases: tuple[Lease, ...] | None
    """None when etcd did not say."""
    minions: tuple[Minion, ...]
    pods: tuple[RunningPod, ...]
    pod_links: Mapping[str, Mapping[str, Link]]
    """By pod, then by device."""
    logins: tuple[Login, ...]
    pings: tuple[Ping, ...] = ()
    """From pod to pod."""
    probes: tuple[Ping, ...] = ()
    """From minion to minion, where a container would be."""
    services: Mapping[str, tuple[Service, ...]] = field(default_factory=dict)
    """By machine."""
    silences: tuple[Silence, ...] = ()
