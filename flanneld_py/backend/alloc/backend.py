"""The alloc backend: a lease, and packets are somebody else's business (flannel's backend/alloc)."""

from collections.abc import Mapping, Sequence

from flanneld_py.backend.alloc.config import Alloc
from flanneld_py.backend.kind import NodeContext
from flanneld_py.config.model import NetworkConfig
from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Entry, Slot
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["AllocBackend"]


class AllocBackend:
    """See `backend.Backend`. Nothing is carried, so there is nothing to do, to repair or to take away."""

    def __init__(self, _network: NetworkConfig, _config: Alloc, node: NodeContext) -> None:
        self.follow(node.interface, node.public)

    def attrs(self) -> LeaseAttrs:
        """See `Backend`. flannel's leases of this kind name no backend."""
        return LeaseAttrs(self._public)

    def recall(self, said: LeaseAttrs) -> None:
        """See `Backend`. All that it says can be said anew."""

    def announcement(self) -> bytes:
        """See `Backend`."""
        return b""

    def follow(self, interface: Interface, public: Addresses) -> None:
        """See `Backend`."""
        self.mtu = interface.mtu
        self._public = public

    def claim(self, subnet: Subnet) -> None:
        """See `Backend`."""

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """See `Backend`."""

    def change(self, events: Sequence[PeerEvent]) -> None:
        """See `Backend`."""

    def extend(self, until: float) -> None:
        """See `Backend`."""

    def release(self) -> None:
        """See `Backend`."""

    def owned(self) -> Sequence[DesiredDevice]:
        """See `Backend`."""
        return ()

    def wanted(self) -> Mapping[Slot, Entry]:
        """See `Backend`."""
        return {}

    def broken(self) -> str:
        """See `Backend`."""
        return ""

    def repair(self) -> int:
        """See `Backend`."""
        return 0

    def statistics(self) -> Statistics:
        """See `Backend`."""
        return Statistics()

    def close(self) -> None:
        """See `Backend`."""
