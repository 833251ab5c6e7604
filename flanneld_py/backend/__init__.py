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
        """Hold this subnet from now on, instead of any other. Raises `Fatal`."""

    def peers(self, leases: Mapping[IPv4Network, Lease]) -> None:
        """These are all the others' leases now."""

    def release(self) -> None:
        """Carry nothing until the next `claim`: the subnet is not ours any more."""

    def close(self) -> None:
        """Stop for good."""
