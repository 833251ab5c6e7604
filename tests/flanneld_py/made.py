"""Short ways to write down what tests are about."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from flanneld_py.backend.udp.config import Udp
from flanneld_py.config.model import NetworkConfig, Pool
from flanneld_py.lease.model import Lease, LeaseAttrs, StoredLease
from flanneld_py.subnet import Addresses, Subnet

__all__ = ["addresses", "attrs", "config", "held", "lease", "pool4", "pool6", "subnet"]


def subnet(*networks: str) -> Subnet:
    """`subnet("10.2.35.0/24")`, `subnet("10.2.35.0/24", "2001:cafe:42:16::/64")`."""
    ipv4 = next((IPv4Network(network) for network in networks if ":" not in network), None)
    ipv6 = next((IPv6Network(network) for network in networks if ":" in network), None)
    return Subnet(ipv4, ipv6)


def addresses(*texts: str) -> Addresses:
    ipv4 = next((IPv4Address(text) for text in texts if ":" not in text), None)
    ipv6 = next((IPv6Address(text) for text in texts if ":" in text), None)
    return Addresses(ipv4, ipv6)


def attrs(address: str) -> LeaseAttrs:
    return LeaseAttrs(addresses(address))


def lease(network: str, address: str) -> Lease:
    return Lease(subnet(network), attrs(address))


def held(network: str, address: str, revision: int = 1, name: str = "") -> StoredLease:
    return StoredLease(lease(network, address), revision, name)


def pool4(network: str, first: str, last: str) -> Pool[IPv4Network]:
    return Pool(IPv4Network(network), IPv4Network(first), IPv4Network(last))


def pool6(network: str, first: str, last: str) -> Pool[IPv6Network]:
    return Pool(IPv6Network(network), IPv6Network(first), IPv6Network(last))


def config(ipv4: Pool[IPv4Network] | None, ipv6: Pool[IPv6Network] | None = None) -> NetworkConfig:
    return NetworkConfig(ipv4, ipv6, Udp())
