"""What a set of leases means for this machine's kernel: one module for each backend."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Protocol

from flanneld_py.lease import Lease, LeaseAttrs

__all__ = ["Backend"]


class Backend(Protocol):
    """A way to carry packets between machines."""

    mtu: int
    """Bytes that an inner packet may have."""

    def attrs(self, public_ip: IPv4Address) -> LeaseAttrs:
        """What our lease must say for peers to reach us."""

    def claim(self, subnet: IPv4Network) -> None:
        """Give the kernel what this subnet needs, instead of any other. Raises `Fatal`."""

    def carry(self, peers: Mapping[IPv4Network, Lease], until: float) -> None:
        """Carry packets between us and exactly these others until our lease ends (seconds of `clock.now`)."""

    def release(self) -> None:
        """Carry nothing until the next `carry`: the subnet is not ours any more."""

    def broken(self) -> str:
        """What has befallen that only another `claim` and `carry` repair; empty if all is well."""

    def close(self) -> None:
        """Stop for good, and take away what ends with us."""
