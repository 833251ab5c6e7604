"""The network's configuration as frozen values."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

from flanneld_py.config.backend import BackendConfig
from flanneld_py.config.reader import Problem
from flanneld_py.subnet import Subnet

__all__ = ["N", "NetworkConfig", "Pool"]

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

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions of IP that the overlay has."""
        return tuple(network.version for network in self.overlay.networks)

    @property
    def uncarried(self) -> Problem | None:
        """What the backend of this network cannot carry.

        The configuration is right all the same: flannel reads it, and its server hands out leases for it.
        """
        if self.ipv6 is None or self.backend.carries_ipv6:
            return None
        default = ", which is the backend where none is given," if self.backend.is_default else ""
        text = f"{self.backend.type}{default} carries IPv4 only, and EnableIPv6 is true"
        return Problem("Backend.Type", text, "leave EnableIPv6 out, or choose the backend vxlan")


def _allows(pool: Pool[N] | None, subnet: N | None) -> bool:
    if pool is None or subnet is None:
        return pool is None and subnet is None
    return pool.allows(subnet)
