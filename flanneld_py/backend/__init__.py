"""What a set of leases means for this machine's kernel: what every backend does, and a package for each."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from flanneld_py.kernel.desired import DesiredDevice
from flanneld_py.kernel.entries import Entry, Slot
from flanneld_py.lease.model import Lease, LeaseAttrs, PeerEvent
from flanneld_py.monitor.statistics import Statistics
from flanneld_py.subnet import Addresses, Subnet
from flanneld_py.underlay.interface import Interface

__all__ = ["Backend"]


class Backend(Protocol):
    """A way to carry packets between machines. Times are seconds of `clock.now`."""

    mtu: int
    """Bytes that an inner packet may have."""

    def attrs(self) -> LeaseAttrs:
        """What our lease must say for peers to reach us; when that changes, the lease is written anew."""

    def recall(self, said: LeaseAttrs) -> None:
        """What a lease of ours says from before this start: what peers know of us stays so, where it can."""

    def announcement(self) -> bytes:
        """What to say beside our lease, as a JSON object, once it is claimed; empty: nothing, never."""

    def follow(self, interface: Interface, public: Addresses) -> None:
        """Stand on this interface from now on, with these addresses to announce; the next `claim` sees to it.

        More often than once for one of them, if that `claim` fails. Raises `Fatal`.
        """

    def claim(self, subnet: Subnet) -> None:
        """Give the kernel what this subnet needs, instead of any other. Raises `Fatal`."""

    def carry(self, peers: Mapping[Subnet, Lease], until: float) -> None:
        """Carry packets between us and exactly these others, until our lease ends."""

    def change(self, events: Sequence[PeerEvent]) -> None:
        """Take over what changed since `carry`; the cost is that of the events alone."""

    def extend(self, until: float) -> None:
        """Our lease ends later."""

    def release(self) -> None:
        """Carry nothing until the next `carry`: the subnet is not ours any more.

        Raises `OSError` where that is not done; then it is asked for again, until it is.
        """

    def owned(self) -> Sequence[DesiredDevice]:
        """Our devices as they should be, from `claim` on. Others compare them with the kernel's."""

    def wanted(self) -> Mapping[Slot, Entry]:
        """Our entries as they should be, those of devices' addresses as well. For a look, not to change."""

    def broken(self) -> str:
        """What else has befallen that only another `claim` and `carry` repair; empty if all is well."""

    def repair(self) -> int:
        """Put right the entries that differ from what was last asked for; how many did."""

    def statistics(self) -> Statistics:
        """What was done so far. For any thread, at any time; whoever asks holds nothing up.

        Raises `OSError` where it cannot be read.
        """

    def close(self) -> None:
        """Stop for good, and take away what ends with us."""
