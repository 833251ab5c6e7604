"""The ways a packet can go from machine to machine, and what each needs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from lab.backends import Backend
from lab.backends.direct import HOST_GW
from lab.backends.udp import UDP
from lab.backends.vxlan import VXLAN
from lab.flannel import EtcdApi, etcd_api_of, parse_version

__all__ = ["KINDS", "Daemon", "Genuine", "Settings", "Way", "ways"]

OURS = "/usr/bin/flanneld"
"""Where the node image has the program that starts `flanneld_py`."""

UDP_FLAGS = {
    "udp-plain": ("-udp-fast-path=off", "-udp-offloads=off"),
    "udp-offload": ("-udp-fast-path=off",),
    "udp-fast": ("-udp-fast-path=require",),
}

TITLES = {
    "veth": "veth, no overlay",
    HOST_GW.name: HOST_GW.name,
    VXLAN.name: VXLAN.name,
    "udp-plain": "udp, packet by packet",
    "udp-offload": "udp, offloads",
    "udp-fast": "udp, fast path",
}

GENUINE = {"genuine": "flannel {0}, udp", "to-genuine": "ours to {0}", "from-genuine": "{0} to ours"}

KINDS = (*TITLES, *GENUINE)


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a run."""

    rounds: int = 5
    seconds: int = 2
    """How long each measurement takes."""
    only: tuple[str, ...] = ()
    """Kinds of ways; empty for all."""
    verify: bool = False
    """Carry and compare 1 GB in each direction instead of a little."""
    congestion: str = ""
    """TCP's congestion control; empty for the machine's own."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """A genuine flanneld: its path in the container, and the version that it prints."""

    path: str
    version: str

    @property
    def etcd_api(self) -> EtcdApi:
        """The one that a flannel of this version speaks."""
        return etcd_api_of(parse_version(self.version))


@dataclass(frozen=True, slots=True)
class Daemon:
    """What runs on one of the two machines."""

    program: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """One way, between two machines that only it uses. The first machine sends, the second receives."""

    name: str
    kind: str
    title: str
    number: int
    """Its index among the ways of the run, from which its addresses are derived."""
    daemons: tuple[Daemon, ...] = ()
    """The first machine's and the second's; empty where static routes are enough."""
    backend: str = ""
    etcd_api: EtcdApi = "v3"

    @property
    def is_udp(self) -> bool:
        """Whether packets go in flannel's udp encapsulation."""
        return self.backend == UDP.name

    @property
    def prefix(self) -> str:
        """The etcd key above everything that belongs to this way."""
        return f"/bench/{self.name}"

    @property
    def network(self) -> str:
        """The overlay."""
        return f"10.{100 + self.number}.0.0/16"

    @property
    def config(self) -> str:
        """The value at `{prefix}/config`."""
        return json.dumps({"Network": self.network, "Backend": {"Type": self.backend}})


def ways(genuine: Sequence[Genuine] = (), only: Sequence[str] = ()) -> tuple[Way, ...]:
    """All ways, or those of these kinds, each with its number.

    Each genuine flanneld has a way to itself, and ways of mixed pairs with ours.
    """
    made = [
        Way("veth", "veth", TITLES["veth"], 0),
        _ours(HOST_GW.name, HOST_GW),
        _ours(VXLAN.name, VXLAN),
        *(_ours(kind, UDP, *flags) for kind, flags in UDP_FLAGS.items()),
    ]
    for item in genuine:
        theirs = Daemon(item.path, () if item.etcd_api == "v2" else ("-iptables-forward-rules=false",))
        ours = Daemon(OURS, (f"-etcd-api={item.etcd_api}",))
        pairs = {"genuine": (theirs, theirs), "to-genuine": (ours, theirs), "from-genuine": (theirs, ours)}
        for kind, daemons in pairs.items():
            title = GENUINE[kind].format(item.version)
            name = f"{kind}-{item.version}"
            made.append(Way(name, kind, title, 0, daemons, UDP.name, item.etcd_api))
    chosen = [way for way in made if not only or way.kind in only]
    return tuple(
        Way(way.name, way.kind, way.title, number, way.daemons, way.backend, way.etcd_api)
        for number, way in enumerate(chosen)
    )


def _ours(kind: str, backend: Backend, *flags: str) -> Way:
    daemon = Daemon(OURS, flags)
    return Way(kind, kind, TITLES[kind], 0, (daemon, daemon), backend.name)
