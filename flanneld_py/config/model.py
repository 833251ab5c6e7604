"""The network's configuration as frozen values."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import ClassVar, Generic, TypeAlias, TypeVar

from flanneld_py.subnet import Subnet

__all__ = ["Alloc", "BackendConfig", "Extension", "HostGw", "Ipip", "N", "NetworkConfig", "Pool", "Udp"]
__all__ += ["Vxlan", "Wireguard"]

N = TypeVar("N", IPv4Network, IPv6Network)


@dataclass(frozen=True, slots=True)
class Pool(Generic[N]):
    """Where the subnets of one address family come from.

    `subnet_min` and `subnet_max` are the first and the last subnet that may be leased.
    """

    network: N
    subnet_min: N
    subnet_max: N

    @property
    def subnet_len(self) -> int:
        """Bits of every subnet's prefix."""
        return self.subnet_min.prefixlen

    def allows(self, subnet: N) -> bool:
        """Whether it may be leased."""
        # As numbers: addresses of a constrained type variable have no common order.
        first, address, last = (int(n.network_address) for n in (self.subnet_min, subnet, self.subnet_max))
        return subnet.prefixlen == self.subnet_len and first <= address <= last


@dataclass(frozen=True, slots=True)
class Udp:
    """`Port` is the same on every node: it is in no lease."""

    type: ClassVar[str] = "udp"
    port: int = 8285


@dataclass(frozen=True, slots=True)
class Vxlan:
    """`port` 0 is the kernel's default, 8472; `mtu` 0 is taken from the interface."""

    type: ClassVar[str] = "vxlan"
    vni: int = 1
    port: int = 0
    mtu: int = 0
    gbp: bool = False
    learning: bool = False
    direct_routing: bool = False


@dataclass(frozen=True, slots=True)
class HostGw:
    """Plain routes by the nodes' own addresses."""

    type: ClassVar[str] = "host-gw"


@dataclass(frozen=True, slots=True)
class Alloc:
    """A lease and nothing else."""

    type: ClassVar[str] = "alloc"


@dataclass(frozen=True, slots=True)
class Ipip:
    """`direct_routing`: plain routes to nodes on our own link."""

    type: ClassVar[str] = "ipip"
    direct_routing: bool = False


@dataclass(frozen=True, slots=True)
class Wireguard:
    """`mtu` 0 is taken from the interface; the interval is in seconds, 0 for never."""

    type: ClassVar[str] = "wireguard"
    listen_port: int = 51820
    listen_port_v6: int = 51821
    mtu: int = 0
    psk: str = ""
    persistent_keepalive_interval: int = 0
    mode: str = "separate"


@dataclass(frozen=True, slots=True)
class Extension:
    """Commands that do the backend's work; empty ones are not run."""

    type: ClassVar[str] = "extension"
    pre_startup_command: str = ""
    post_startup_command: str = ""
    subnet_add_command: str = ""
    subnet_remove_command: str = ""
    shutdown_command: str = ""


BackendConfig: TypeAlias = Udp | Vxlan | HostGw | Alloc | Ipip | Wireguard | Extension


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Every node leases one subnet of each pool that there is. `nftables`: rules by nft, not by iptables."""

    ipv4: Pool[IPv4Network] | None
    ipv6: Pool[IPv6Network] | None
    backend: BackendConfig
    nftables: bool = False

    def allows(self, subnet: Subnet) -> bool:
        """Whether a lease of it is one of this network: a subnet of each family that there is."""
        return _allows(self.ipv4, subnet.ipv4) and _allows(self.ipv6, subnet.ipv6)

    @property
    def overlay(self) -> Subnet:
        """The whole overlay's network in each family that it has."""
        return Subnet(
            None if self.ipv4 is None else self.ipv4.network, None if self.ipv6 is None else self.ipv6.network
        )


def _allows(pool: Pool[N] | None, subnet: N | None) -> bool:
    if pool is None or subnet is None:
        return pool is None and subnet is None
    return pool.allows(subnet)
