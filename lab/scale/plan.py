"""What a run with so many nodes is made of: machines, addresses, command lines. Pure.

container:  eth0 of etcd's member m1, 198.18.0.2 ---+--- br0 ---+--- eth0 of node n1, 198.18.1.2
            eth0 of etcd's member m2, 198.18.0.3 ---+           +--- eth0 of node n2, 198.18.1.3

On several engines each has such a container, with its share of the machines, and br0 of each is connected to
those of the others by `between`, a vxlan device on the network that a swarm carries.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.engine.swarm import OVERHEAD
from lab.scale.faults import Manner, Wanted
from lab.spec.engine import EngineSpec

__all__ = [
    "BETWEEN_MTU",
    "DAEMON",
    "DYING",
    "ETCD_READY",
    "JOINS",
    "KINDS",
    "MAKE_SWITCH",
    "MEMBERS",
    "MOST",
    "MTU",
    "OVERLAY",
    "PREFIX",
    "Machine",
    "Member",
    "Node",
    "Program",
    "Settings",
    "config",
    "connect_switch",
    "lease_of_a_stranger",
    "members",
    "name_members",
    "nodes",
    "rate",
]

KINDS: Sequence[str] = ("vxlan", "host-gw", "udp")
"""The backends that can be measured, by flannel's names."""

MEMBERS: Sequence[int] = (1, 3, 5)
"""How many members etcd can have: of an even number no more can fail than of one less."""

MOST = 1000
"""Nodes at most. A bridge of the kernel has 1,024 ports (BR_PORT_BITS of br_private.h)."""

DYING = 10
"""One of so many nodes dies, those that were started first."""

JOINS = 5
"""How often one more node comes, and in between goes again."""

DAEMON = "/usr/bin/flanneld"
"""Where the node image has ours."""

PREFIX = "/coreos.com/network"

UNDERLAY = IPv4Network("198.18.0.0/16")  # from RFC 2544's block for benchmarks
OVERLAY = IPv4Network("10.32.0.0/12")
SUBNET_LENGTH = 24  # of OVERLAY, that is 4,096 subnets
IN_A_BLOCK = 250
"""Nodes with the same third octet."""

MTU = 1500
"""Of machines' links on one engine."""

BETWEEN_MTU = MTU - 2 * OVERHEAD
"""Between engines: the swarm's network is vxlan, and what connects the bridges is another one in it."""

LOCAL_URL = "http://127.0.0.1:2379"
"""Where a member is asked by who is not to meet what its link does."""

EVERYWHERE = "http://0.0.0.0:2379"
"""One listener: each says for itself `ETCD_READY`."""

ETCD_READY = "ready to serve client requests"
MONITOR_PORT = 9000

RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def rate(text: str) -> float:
    """Happenings a second, of 1/s, 0.5/s or 30/m. Raises `ValueError`."""
    found = RATE.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise ValueError(f"expected a rate such as 1/s or 30/m; got {text!r}")
    return float(found[1]) / SECONDS[found[2]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured."""

    numbers: tuple[int, ...]
    """Of nodes: a cluster of its own for each."""
    backend: str = "vxlan"
    members: int = 1
    """Of etcd."""
    churn: float = 0.0
    """Nodes a second that are replaced by new ones; 0 for none."""
    lasting: float = 30.0
    """Seconds of churn."""
    idle: float = 10.0
    """Seconds in which nothing happens, for the processor time of a node that has nothing to do."""
    faults: tuple[Wanted, ...] = ()
    engines: tuple[EngineSpec, ...] = ()
    """That share out nodes and members of etcd; none: the one that the environment selects has all."""

    @property
    def in_force(self) -> tuple[str, ...]:
        """The faults under which everything is measured, as they were written."""
        return tuple(item.text for item in self.faults if item.manner is Manner.THROUGHOUT)


@dataclass(frozen=True, slots=True)
class Program:
    """The flanneld that nodes run."""

    path: str = DAEMON
    """In the container."""
    title: str = "flanneld_py"
    forks: bool = True
    """Whether it is a fork of a process that has imported it; a genuine one is a program that is started."""


def mac_of(address: IPv4Address) -> str:
    """A locally administered one that nobody else's device has."""
    return "02:00:" + ":".join(f"{octet:02x}" for octet in address.packed)


@dataclass(frozen=True, slots=True)
class Machine(ABC):
    """A network namespace with eth0 on the bridge."""

    number: int

    @property
    @abstractmethod
    def name(self) -> str:
        """Its namespace."""

    @property
    @abstractmethod
    def address(self) -> str:
        """In the underlay."""

    @property
    def mac(self) -> str:
        """Of eth0, known beforehand: see `set_up`."""
        return mac_of(IPv4Address(self.address))

    def place(self, engines: int) -> int:
        """Which of so many engines has it, from 0: each one in turn."""
        return (self.number - 1) % engines

    def plug(self, mtu: int) -> tuple[str, ...]:
        """Commands of ip(8), in the container's own namespace, that make it and plug it in."""
        port, end = f"{self.name}-port", f"address {self.mac} mtu {mtu} netns {self.name}"
        return (
            f"netns add {self.name}",
            f"link add name {port} mtu {mtu} type veth peer name eth0 {end}",
            f"link set {port} master br0 up",
        )

    def set_up(self, known: "Sequence[Machine]") -> str:
        """A shell script to be run in its namespace; it need not look for these by ARP.

        All namespaces of a kernel share one table of neighbours, which takes 1,024 that were found by ARP
        (gc_thresh3, arp(7)) and any number of permanent ones. What is to be measured is the daemons, so
        nodes and etcd have not to find each other.
        """
        commands = [
            "link set lo up",
            "link set eth0 up",
            f"address add {self.address}/{UNDERLAY.prefixlen} dev eth0",
            *(f"neighbour add {each.address} lladdr {each.mac} dev eth0 nud permanent" for each in known),
        ]
        lines = "\n".join(commands)
        return (
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 "
            f"net.ipv4.ip_forward=1\nip -batch - <<.\n{lines}\n.\n"
        )


@dataclass(frozen=True, slots=True)
class Member(Machine):
    """One member of etcd, on a machine of its own."""

    @property
    def name(self) -> str:
        """Its namespace; by it the others know it, too."""
        return f"m{self.number}"

    @property
    def address(self) -> str:
        """In the underlay; the first is left to a switch."""
        return str(UNDERLAY[self.number + 1])

    @property
    def client_url(self) -> str:
        """Where nodes find it."""
        return f"http://{self.address}:2379"

    @property
    def peer_url(self) -> str:
        """Where the other members do."""
        return f"http://{self.address}:2380"

    def argv(self, together: "Sequence[Member]") -> tuple[str, ...]:
        """Its command line as one of these. Its data are in memory: no disk is waited for."""
        return (
            "ip", "netns", "exec", self.name,
            "etcd", f"--name={self.name}", f"--data-dir=/run/etcd/{self.name}",
            f"--listen-client-urls={EVERYWHERE}", f"--advertise-client-urls={self.client_url}",
            f"--listen-peer-urls={self.peer_url}", f"--initial-advertise-peer-urls={self.peer_url}",
            f"--initial-cluster={','.join(f'{each.name}={each.peer_url}' for each in together)}",
        )  # fmt: skip


def name_members(etcd: Sequence[Member]) -> str:
    """A shell script by which the container knows them by name."""
    return "".join(f"echo {each.address} {each.name} >> /etc/hosts\n" for each in etcd)


def members(count: int) -> tuple[Member, ...]:
    """So many."""
    return tuple(Member(number) for number in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class Node(Machine):
    """A machine with a flanneld."""

    @property
    def name(self) -> str:
        """Its namespace."""
        return f"n{self.number}"

    @property
    def address(self) -> str:
        """In the underlay."""
        block, place = divmod(self.number - 1, IN_A_BLOCK)
        return str(UNDERLAY[(block + 1) * 256 + place + 2])

    @property
    def subnet_file(self) -> str:
        """Where its daemon writes the lease."""
        return f"/run/scale/{self.name}/subnet.env"

    def argv(self, program: Program, backend: str, etcd: Sequence[Member]) -> tuple[str, ...]:
        """The command line of its daemon. Of several members each node begins with another one."""
        turn = self.number % len(etcd)
        urls = ",".join(each.client_url for each in (*etcd[turn:], *etcd[:turn]))
        options = (
            f"-etcd-endpoints={urls}", f"-etcd-prefix={PREFIX}", "-iface=eth0",
            f"-subnet-file={self.subnet_file}",
        )  # fmt: skip
        # udp's peers are in no table of the kernel's that every way of it has: the daemon itself is asked.
        asked = ("-healthz-ip=127.0.0.1", f"-healthz-port={MONITOR_PORT}") if backend == "udp" else ()
        before = () if program.forks else ("ip", "netns", "exec", self.name)
        return (*before, program.path, *options, *asked)


def nodes(count: int) -> tuple[Node, ...]:
    """So many."""
    return tuple(Node(number) for number in range(1, count + 1))


MAKE_SWITCH = """
    # br_netfilter, where the kernel has it, would pass frames through our packet filter.
    ! test -e /proc/sys/net/bridge || sysctl -qw net.bridge.bridge-nf-call-iptables=0
    sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1
    ip link add br0 type bridge
    ip link set lo up
    ip link set br0 up
"""
"""A shell script for the container's own namespace: the bridge that everything is plugged into."""


def connect_switch(own: IPv4Address, others: Sequence[IPv4Address]) -> str:
    """A shell script that plugs a container's bridge together with those of others, at these addresses.

    What nobody has been heard to have goes to all of them, as between switches.
    """
    flood = "\n".join(f"bridge fdb append 00:00:00:00:00:00 dev between dst {other}" for other in others)
    return f"""
        ip link add between mtu {BETWEEN_MTU} type vxlan id 1 dstport 4789 local {own} dev eth0
        {flood}
        ip link set between master br0 up
    """


def config(backend: str) -> str:
    """The network's configuration, as etcd has it."""
    return json.dumps({"Network": str(OVERLAY), "SubnetLen": SUBNET_LENGTH, "Backend": {"Type": backend}})


def lease_of_a_stranger(backend: str, number: int) -> str:
    """The lease of a machine that does not exist, as flannel would write it; from 1, each is another one."""
    address = UNDERLAY[-1 - number]
    lease: dict[str, object] = {"PublicIP": str(address), "PublicIPv6": None}
    if backend != "udp":
        lease["BackendType"] = backend
    if backend == "vxlan":
        lease["BackendData"] = {"VNI": 1, "VtepMAC": mac_of(address)}
    return json.dumps(lease)
