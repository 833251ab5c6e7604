"""What there is to know of a backend, and what it makes of a set of leases on one machine."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

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
    "Side",
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
    mode: str = "separate"
    """wireguard: whether IPv4 and IPv6 have a device each."""
    port: int | None = None
    """UDP, that packets come to, where that is not the backend's own."""


@dataclass(frozen=True, slots=True)
class Member:
    """A machine of the overlay, as far as it matters to a backend, by one family of addresses."""

    address: IPv4Address | IPv6Address
    """In the underlay: the one that its lease is to name."""
    subnet: IPv4Network | IPv6Network | None
    """Of its lease; None where nobody can tell."""
    underlay_mtu: int | None
    """Of the interface that its flanneld takes; None where that is missing or not known."""
    mac: str | None
    """Of the backend's device; empty where there is none, None where the machine's devices are not known."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Another machine's lease."""

    subnet: IPv4Network | IPv6Network
    address: IPv4Address | IPv6Address
    mac: str
    """vxlan: of its device, as its lease has it."""
    direct: bool = True
    """Whether no router is between."""
    device: str = "eth0"
    """Of this machine; where none is between, it leads there."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """The overlay, as it is to one machine, by one family of addresses."""

    config: BackendConfig
    dialect: Dialect
    """Of the machine's flanneld."""
    network: IPv4Network | IPv6Network
    own: Member
    peers: tuple[Peer, ...]

    @property
    def family(self) -> int:
        """The version of IP."""
        return self.network.version


@dataclass(frozen=True, slots=True)
class Forms:
    """What a backend makes of the leases on one machine. None: nobody can tell."""

    lease: Mapping[str, object] | None
    """What the machine's own lease says beside its public address."""
    routes: frozenset[str] | None
    """All that lead into the overlay but docker0's, as `ip route` writes them."""
    address_length: int | None = None
    """Of the address of the backend's device; None for that of a single address."""
    neighbours: frozenset[str] | None = None
    """On its device: "ADDRESS MAC"."""
    fdb: frozenset[str] | None = None
    """On its device: "MAC ADDRESS"."""


@dataclass(frozen=True, slots=True)
class Side:
    """What must be seen on a machine of one family of addresses. None: nobody can tell."""

    family: int
    """The version of IP."""
    device: str | None
    """flannel's own; empty for none."""
    mtu: int | None
    """The device's."""
    address: str | None
    """The device's."""
    queue: int | None
    """The device's transmit queue length in packets."""
    routes: frozenset[str] | None
    neighbours: frozenset[str] | None
    fdb: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be seen on a machine. None: nobody can tell, and nothing is compared."""

    mtu: int | None
    """Of docker0 and pods: what fits into the overlay by each of its families."""
    value: str | None
    """The lease's."""
    sides: tuple[Side, ...]
    """By family, IPv4's first."""
    fdb_only: bool
    """Whether there may be no other FDB entries."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One way in which flannel has packets travel."""

    name: str
    overhead: int = 0
    """Bytes that it takes off the underlay's MTU."""
    longer: int = 0
    """Bytes more that it takes where IPv6 carries it."""
    ipv6: bool = True
    """Whether it carries IPv6."""
    on_link: bool = False
    """Whether it leads only to machines that no router is in front of."""
    passes_nat: bool = False
    """Whether a NAT can lead its packets to a machine behind it: they are datagrams to a port."""
    takes_mtu: bool = False
    """Whether its configuration may say the underlay's MTU."""
    hops: int | None = None
    """What a packet from pod to pod on another machine loses of its TTL; None where nobody can tell."""
    bare: bool = False
    """Whether pods' packets cross the machines' network under the pods' own addresses."""
    delivers: bool = True
    """Whether it carries packets, instead of leaving them to somebody else."""
    port: int | None = None
    """UDP, that its packets come to unless another one is configured; None if they come by no datagram."""
    device: Callable[[BackendConfig, int], str] | None = None
    """The name of its device of one family; None for no device, or none that is known."""
    queue: int | None = None
    """Its device's transmit queue length in packets, where that is certain."""
    forms: Callable[[Overlay], Forms] | None = None
    """What it makes of leases; None where nobody here knows, and then only what depends on no backend is
    compared."""

    def device_name(self, config: BackendConfig, family: int = 4) -> str:
        """Of its device with this configuration; empty for none that is known."""
        return self.device(config, family) if self.device is not None else ""

    def expected(self, overlays: Sequence[Overlay]) -> Expected:
        """What a machine must look like. `overlays` has the overlay by each of its families."""
        forms = [
            self.forms(overlay) if self.forms is not None else Forms(lease=None, routes=None)
            for overlay in overlays
        ]
        sides = tuple(self._side(overlay, form) for overlay, form in zip(overlays, forms, strict=True))
        mtus = [side.mtu for side in sides if side.mtu is not None]
        return Expected(
            mtu=min(mtus) if mtus else None,
            value=_value(overlays, [form.lease for form in forms]),
            sides=sides,
            fdb_only=overlays[0].dialect.fdb_clean,
        )

    def _side(self, overlay: Overlay, forms: Forms) -> Side:
        own, config = overlay.own, overlay.config
        underlay = (config.mtu if self.takes_mtu else None) or own.underlay_mtu
        longer = self.longer if overlay.family == 6 and overlay.dialect.ipv6_header else 0
        length = overlay.network.max_prefixlen if forms.address_length is None else forms.address_length
        return Side(
            family=overlay.family,
            device=self.device_name(config, overlay.family) if self.forms is not None else None,
            mtu=underlay - self.overhead - longer if underlay else None,
            address=f"{own.subnet.network_address}/{length}" if own.subnet else None,
            queue=self.queue,
            routes=forms.routes,
            neighbours=forms.neighbours,
            fdb=forms.fdb,
        )


DATA = {4: "BackendData", 6: "BackendV6Data"}
"""The key under which a lease has what a backend says of each family."""


def _value(overlays: Sequence[Overlay], leases: Sequence[Mapping[str, object] | None]) -> str | None:
    """The text of the machine's own lease; None where nobody can tell."""
    addresses = {overlay.family: str(overlay.own.address) for overlay in overlays}
    value: dict[str, object] = {"PublicIP": addresses.get(4, "0.0.0.0")}  # noqa: S104 - as flannel has it
    if overlays[0].dialect.public_ipv6:
        value["PublicIPv6"] = addresses.get(6)
    for overlay, lease in zip(overlays, leases, strict=True):
        if lease is None:
            return None
        value |= {DATA[overlay.family] if key == DATA[4] else key: held for key, held in lease.items()}
    return json.dumps(value, separators=(",", ":"))


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
