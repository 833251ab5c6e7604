"""The host-gw backend: plain routes to peers on our own link (flannel's backend/hostgw)."""

from collections.abc import Mapping, Sequence

from flanneld_py.backend.host_gw.config import HostGw
from flanneld_py.backend.host_gw.entries import entries, not_on_link
from flanneld_py.backend.kernel_backend import KernelBackend, Table
from flanneld_py.backend.kind import NodeContext
from flanneld_py.backend.peer_next_hops import NextHops, NextHopsTo
from flanneld_py.backend.peers import Carried, of_families
from flanneld_py.config.model import NetworkConfig
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel import table as kernel_table
from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Add, Change, Route
from flanneld_py.kernel.next_hop_lookup import next_hops_to
from flanneld_py.lease.model import Lease, LeaseAttrs
from flanneld_py.subnet import Address, Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["HostGwBackend"]


class HostGwBackend(KernelBackend):
    """See `backend.Backend`. There is no device of its own."""

    def __init__(
        self,
        network: NetworkConfig,
        config: HostGw,  # noqa: ARG002 (it says nothing)
        node: NodeContext,
        *,
        table: Table = kernel_table,
        ways: NextHopsTo = next_hops_to,
    ) -> None:
        self._peers = NextHops(ways)
        super().__init__(network.overlay, node.interface, table, self._peers)
        self.follow(node.interface, node.public)

    def attrs(self) -> LeaseAttrs:
        """See `Backend`."""
        return self._attrs

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`."""
        public = of_families(public, self._overlay)
        if self._overlay.ipv4 is not None:
            _require_own("IPv4", interface.name, interface.ipv4, public.ipv4)
        if self._overlay.ipv6 is not None:
            _require_own("IPv6", interface.name, interface.ipv6, public.ipv6)
        self._interface = interface
        self.mtu = interface.mtu
        self._attrs = LeaseAttrs(public, HostGw.type)

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`."""
        self._own = subnet

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""
        return ()

    def broken(self) -> str:
        """See `Backend`."""
        return ""

    def _carried(self, lease: Lease) -> Carried:
        return entries(lease, self._interface, self._overlay, self._own, self._peers.known)

    def _devices(self) -> Mapping[str, int]:
        return {}

    def _explain(self, change: Change) -> str:
        if not isinstance(change, Add) or not isinstance(change.entry, Route):
            return ""
        gateway, ways = change.entry.gateway, self._peers.known
        if gateway is None or ((way := ways.get(gateway)) and way.gateway):  # which was warned of
            return ""
        return not_on_link(gateway, self._interface, ways)


def _require_own(family: str, name: str, own: Address | None, public: Address | None) -> None:
    """Raise `Fatal` unless peers reach us by the interface's own address."""
    if own is None:
        raise Fatal(
            f"The overlay uses {family}, but {name} has no {family} address: give it one, or name another "
            "interface with -iface",
            code=Exit.INTERFACE,
        )
    if public != own:
        # The first sentence is flannel's.
        raise Fatal(
            "your PublicIP differs from interface IP, meaning that probably you're on a NAT, which is not "
            f"supported by host-gw backend: {public} is not {own} of {name}. Correct -public-ip, or use the "
            "backend vxlan",
            code=Exit.INTERFACE,
        )
