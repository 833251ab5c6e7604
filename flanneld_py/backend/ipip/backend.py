"""The ipip backend: IPv4 in IPv4, where the kernel has it (flannel's backend/ipip)."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_interface
from typing import Final

from flanneld_py.backend.ipip.config import DEVICE, Ipip
from flanneld_py.backend.ipip.entries import entries
from flanneld_py.backend.kernel_backend import KernelBackend, Table
from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.mtu import require_mtu
from flanneld_py.backend.peer_next_hops import NextHops, NextHopsTo
from flanneld_py.backend.peers import Carried, Direct, of_families
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import links, own_devices
from flanneld_py.kernel import table as kernel_table
from flanneld_py.kernel.desired import DesiredDevice, pools
from flanneld_py.kernel.limits import LOWEST_MTU
from flanneld_py.kernel.next_hop_lookup import next_hops_to
from flanneld_py.lease.model import Lease, LeaseAttrs
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["IpipBackend"]

OVERHEAD: Final = 20
"""Bytes of an IPv4 header without options (RFC 2003)."""


class IpipBackend(KernelBackend):
    """See `backend.Backend`. The device is its own: tunl0, which the kernel makes, may be another's.

    Making one raises `Fatal` where the kernel has no ipip.
    """

    def __init__(
        self,
        network: NetworkConfig,
        config: Ipip,
        node: NodeContext,
        *,
        table: Table = kernel_table,
        ways: NextHopsTo = next_hops_to,
    ) -> None:
        reached = NextHops(ways) if config.direct_routing else None
        super().__init__(network.overlay, node.interface, table, reached)
        self._pools = pools(network)
        self.follow(node.interface, node.public)
        # Whether the kernel has it at all is to be known before a lease is taken.
        self._index = self._ensure()

    def attrs(self) -> LeaseAttrs:
        """See `Backend`."""
        return self._attrs

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`. With another address the device is another one."""
        if interface.ipv4 is None or public.ipv4 is None:
            raise Fatal(
                f"The overlay uses IPv4, but {interface.name} has no IPv4 address: give it one, or name "
                "another interface with -iface",
                code=Exit.INTERFACE,
            )
        require_mtu(interface.mtu, LOWEST_MTU[4] + OVERHEAD, Ipip.type, interface)
        self._interface = interface
        self.mtu = interface.mtu - OVERHEAD
        self._local = interface.ipv4
        self._attrs = LeaseAttrs(of_families(public, self._overlay), Ipip.type)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`."""
        if subnet.ipv4 is None:
            raise ValueError(f"a lease without IPv4: {subnet}")
        self._own = subnet
        self._index = self._ensure()
        for device in self.owned():
            own_devices.establish(device)

    def _ensure(self) -> int:
        return links.ensure_ipip(links.IpipLink(DEVICE, self._local, self.mtu)).index

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""
        # A network of one address, so that there is no route to a network or for broadcasts.
        addresses = tuple(ip_interface(network.network_address) for network in self._own.networks)
        return (DesiredDevice(DEVICE, self._index, self.mtu, addresses, pools=self._pools),)

    def broken(self) -> str:
        """See `Backend`."""
        return ""

    def _carried(self, lease: Lease) -> Carried:
        direct = None if self._reached is None else Direct(self._interface.index, self._reached.known)
        return entries(lease, self._index, self._own, direct)

    def _devices(self) -> Mapping[str, int]:
        return {DEVICE: self._index}
