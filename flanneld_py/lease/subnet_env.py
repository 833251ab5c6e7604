"""flannel's subnet.env: from it docker, and our next start, learn which subnet this node holds."""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import TypeVar

from flanneld_py.lease import assignments
from flanneld_py.subnet import Network, Subnet

__all__ = ["SubnetEnv", "previous_subnet", "render"]


@dataclass(frozen=True, slots=True)
class SubnetEnv:
    """`network` is the whole overlay's, `subnet` what this node leased of it; `mtu` is in bytes."""

    network: Subnet
    subnet: Subnet
    mtu: int
    ip_masq: bool


def render(env: SubnetEnv) -> str:
    """The file, byte for byte as flannel writes it: v0.5.5 and, with IPv6, today's.

    FLANNEL_SUBNET is the subnet's first address, for the bridge.
    """
    lines = [
        *_family("FLANNEL", env.network.ipv4, env.subnet.ipv4),
        *_family("FLANNEL_IPV6", env.network.ipv6, env.subnet.ipv6),
        f"FLANNEL_MTU={env.mtu}",
        f"FLANNEL_IPMASQ={'true' if env.ip_masq else 'false'}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _family(prefix: str, network: Network | None, subnet: Network | None) -> list[str]:
    if network is None or subnet is None:
        return []
    bridge = f"{subnet.network_address + 1}/{subnet.prefixlen}"
    return [f"{prefix}_NETWORK={network}", f"{prefix}_SUBNET={bridge}"]


def previous_subnet(text: str) -> Subnet | None:
    """The subnet that this node held, if the file says so; other lines do not matter."""
    values, _ = assignments.read(text)
    subnet = Subnet(
        _network(values.get("FLANNEL_SUBNET"), IPv4Interface, IPv4Network),
        _network(values.get("FLANNEL_IPV6_SUBNET"), IPv6Interface, IPv6Network),
    )
    return subnet if subnet.networks else None


N = TypeVar("N", IPv4Network, IPv6Network)


def _network(
    value: str | None, interface: type[IPv4Interface] | type[IPv6Interface], kind: type[N]
) -> N | None:
    address, slash, length = (value or "").partition("/")
    if not slash or not (length.isascii() and length.isdigit()):
        return None
    try:
        network = interface((address, int(length))).network
    except ValueError:
        return None
    return network if isinstance(network, kind) else None
