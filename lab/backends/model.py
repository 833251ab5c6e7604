"""What there is to know of a backend, and what it makes of a set of leases on one machine."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.flannel import Dialect

__all__ = [
    "DEFAULT_VNI",
    "Backend",
    "BackendConfig",
    "Expected",
    "Forms",
    "Member",
    "Overlay",
    "Peer",
    "route_of_the_kernel",
    "routes_by_the_underlay",
    "through_tunnel",
]

DEFAULT_VNI = 1
"""flannel's, on Linux."""


@dataclass(frozen=True, slots=True)
class BackendConfig:
    """`Backend` of flannel's network configuration."""

    type: str
    """In lower case, such as vxlan; udp where the configuration names none, as in flannel."""
    vni: int = DEFAULT_VNI
    """vxlan: the network's number, which is part of its device's name."""
    mtu: int | None = None
    """vxlan and wireguard: of the underlay, where it is not to be taken from the interface."""
    direct_routing: bool = False
    """vxlan and ipip: a peer on the same network is reached without a tunnel."""


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of the overlay, as far as it matters to a backend."""

    address: IPv4Address
    """In the underlay: the one that its lease is to name."""
    subnet: IPv4Network | None
    """Of its lease; None where nobody can tell."""
    underlay_mtu: int | None
    """Of the interface that its flanneld takes; None where that is missing or not known."""
    mac: str | None
    """Of the backend's device; empty where there is none, None where the machine's devices are not known."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another machine's lease."""

    subnet: IPv4Network
    address: IPv4Address
    mac: str
    """vxlan: of its device, as its lease has it."""
    direct: bool = True
    """Whether no router is between."""
    device: str = "eth0"
    """Of this machine; where none is between, it leads there."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """The overlay, as it is to one machine."""

    config: BackendConfig
    dialect: Dialect
    """Of the machine's flanneld."""
    network: IPv4Network
    own: Member
    peers: tuple[Peer, ...]


@dataclass(frozen=True, slots=True)
class Forms:
    """What a backend makes of the leases on one machine. None: nobody can tell."""

    lease: Mapping[str, object] | None
    """What the machine's own lease says beside its public address."""
    routes: frozenset[str] | None
    """All that lead into the overlay but docker0's, as `ip -4 route` writes them."""
    address_length: int = 32
    """Of the address of the backend's device."""
    neighbours: frozenset[str] | None = None
    """On its device: "ADDRESS MAC"."""
    fdb: frozenset[str] | None = None
    """On its device: "MAC ADDRESS"."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be seen on a machine. None: nobody can tell, and nothing is compared."""

    mtu: int | None
    """Of docker0 and pods, and of flannel's device."""
    value: str | None
    """The lease's."""
    device: str | None
    """flannel's own; empty for none."""
    address: str | None
    """The device's."""
    queue: int | None
    """The device's transmit queue length in packets."""
    routes: frozenset[str] | None
    neighbours: frozenset[str] | None
    fdb: frozenset[str] | None
    fdb_only: bool
    """Whether there may be no other FDB entries."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One way in which flannel has packets travel."""

    name: str
    overhead: int = 0
    """Bytes that it takes off the underlay's MTU."""
    takes_mtu: bool = False
    """Whether its configuration may say the underlay's MTU."""
    hops: int | None = None
    """What a packet from pod to pod on another machine loses of its TTL; None where nobody can tell."""
    bare: bool = False
    """Whether pods' packets cross the machines' network under the pods' own addresses."""
    delivers: bool = True
    """Whether it carries packets, instead of leaving them to somebody else."""
    device: Callable[[BackendConfig], str] | None = None
    """The name of its device; None for no device, or none that is known."""
    queue: int | None = None
    """Its device's transmit queue length in packets, where that is certain."""
    forms: Callable[[Overlay], Forms] | None = None
    """What it makes of leases; None where nobody here knows, and then only what depends on no backend is
    compared."""

    def device_name(self, config: BackendConfig) -> str:
        """Of its device with this configuration; empty for none that is known."""
        return self.device(config) if self.device is not None else ""

    def expected(self, overlay: Overlay) -> Expected:
        """What a machine must look like."""
        own, config = overlay.own, overlay.config
        underlay = (config.mtu if self.takes_mtu else None) or own.underlay_mtu
        forms = self.forms(overlay) if self.forms is not None else Forms(lease=None, routes=None)
        return Expected(
            mtu=underlay - self.overhead if underlay else None,
            value=_value(overlay, forms.lease) if forms.lease is not None else None,
            device=self.device_name(config) if self.forms is not None else None,
            address=f"{own.subnet.network_address}/{forms.address_length}" if own.subnet else None,
            queue=self.queue,
            routes=forms.routes,
            neighbours=forms.neighbours,
            fdb=forms.fdb,
            fdb_only=overlay.dialect.fdb_clean,
        )


def _value(overlay: Overlay, lease: Mapping[str, object]) -> str:
    """The text of the machine's own lease."""
    ipv6 = {"PublicIPv6": None} if overlay.dialect.public_ipv6 else {}
    return json.dumps({"PublicIP": str(overlay.own.address), **ipv6, **lease}, separators=(",", ":"))


def route_of_the_kernel(device: str, overlay: Overlay) -> frozenset[str] | None:
    """The one that the kernel makes itself for a device whose address has the Network's length."""
    subnet = overlay.own.subnet
    if subnet is None:
        return None
    return frozenset({f"{overlay.network} dev {device} proto kernel scope link src {subnet.network_address}"})


def routes_by_the_underlay(peers: Iterable[Peer]) -> frozenset[str]:
    """Those that lead to each peer without a tunnel: only to those that no router is in front of."""
    return frozenset(f"{peer.subnet} via {peer.address} dev {peer.device}" for peer in peers if peer.direct)


def through_tunnel(overlay: Overlay) -> tuple[Peer, ...]:
    """The peers that a tunnel leads to: all, unless DirectRouting has those that no router is in front of."""
    return tuple(peer for peer in overlay.peers if not (overlay.config.direct_routing and peer.direct))
