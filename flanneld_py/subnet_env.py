"""The file that tells docker, and our own next start, which subnet this node holds (flannel's subnet.env)."""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from flanneld_py import assignments

__all__ = ["SubnetEnv", "parse", "previous_subnet", "render"]


@dataclass(frozen=True, slots=True)
class SubnetEnv:
    """`subnet` is the leased subnet's first address with its length: the bridge's. `mtu` is in bytes."""

    network: IPv4Network
    subnet: IPv4Interface
    mtu: int
    ip_masq: bool

    @classmethod
    def of(cls, network: IPv4Network, leased: IPv4Network, mtu: int, ip_masq: bool) -> "SubnetEnv":
        """The contents for a node that holds `leased`."""
        return cls(network, IPv4Interface((leased.network_address + 1, leased.prefixlen)), mtu, ip_masq)


def render(env: SubnetEnv) -> str:
    """The file, byte for byte as flannel v0.5.5 and later write it."""
    return (
        f"FLANNEL_NETWORK={env.network}\n"
        f"FLANNEL_SUBNET={env.subnet}\n"
        f"FLANNEL_MTU={env.mtu}\n"
        f"FLANNEL_IPMASQ={'true' if env.ip_masq else 'false'}\n"
    )


def parse(text: str) -> SubnetEnv:
    """Read such a file, any flannel's; ValueError names the variable that is missing or wrong."""
    values, _ = assignments.read(text)
    mtu = _required(values, "FLANNEL_MTU")
    ip_masq = _required(values, "FLANNEL_IPMASQ")
    if not (mtu.isascii() and mtu.isdigit() and 0 < int(mtu[:9]) <= 65535):
        raise ValueError(f"FLANNEL_MTU is {mtu!r}, not an MTU")
    if ip_masq not in ("true", "false"):
        raise ValueError(f"FLANNEL_IPMASQ is {ip_masq!r}, neither true nor false")
    network = _interface(values, "FLANNEL_NETWORK").network
    return SubnetEnv(network, _interface(values, "FLANNEL_SUBNET"), int(mtu), ip_masq == "true")


def previous_subnet(text: str) -> IPv4Network | None:
    """The subnet that this node held, where the file says so readably; other lines do not matter."""
    values, _ = assignments.read(text)
    try:
        return _interface(values, "FLANNEL_SUBNET").network
    except ValueError:
        return None


def _required(values: dict[str, str], name: str) -> str:
    if not values.get(name):
        raise ValueError(f"{name} is missing")
    return values[name]


def _interface(values: dict[str, str], name: str) -> IPv4Interface:
    value = _required(values, name)
    address, slash, length = value.partition("/")
    try:
        if not slash or not (length.isascii() and length.isdigit()):
            raise ValueError
        return IPv4Interface((address, int(length)))
    except ValueError:
        raise ValueError(f"{name} is {value!r}, not ADDRESS/LENGTH") from None
