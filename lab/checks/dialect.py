"""What flannels of different ages do differently, where one can see it from outside.

The versions are those of flannel's own history: the first release that has the change.
"""

from dataclasses import dataclass, replace

from lab.spec import EtcdApi, Flanneld, flannel_version

__all__ = ["OURS_V3", "Dialect", "dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one flanneld writes its lease and sets up its devices."""

    public_ipv6: bool
    """The lease's value has `PublicIPv6` (0.15)."""
    vni: bool
    """vxlan: the lease's value has the `VNI` (0.11)."""
    udp_network: bool
    """udp: flannel0's address has the Network's length, so that the kernel makes the route (before 0.11)."""
    vxlan_static: bool
    """vxlan: route, neighbour and FDB entry stand for each peer (0.9); before, peers were looked up when a
    packet for them came, and the device's address had the Network's length."""
    fdb_clean: bool = False
    """vxlan: no FDB entry stays of a MAC that a peer had before its reboot. No flannel so far removes it."""


TODAY = (1, 0)
"""Later than any change that is known here."""

OURS_V3 = Dialect(public_ipv6=True, vni=True, udp_network=True, vxlan_static=True, fdb_clean=True)
"""flanneld_py: the tutorial's flannel0, and everything else as flannel has it today."""


def dialect(flanneld: Flanneld, version: str, api: EtcdApi) -> Dialect:
    """The dialect of a machine's flanneld, whose `-version` says `version`; if that is no flannel's, today's.

    In etcd's v2 store flanneld_py writes what the flannels of that time read and wrote.
    """
    if flanneld.program is None:
        return OURS_V3 if api == "v3" else replace(OURS_V3, public_ipv6=False, vni=False)
    age = flannel_version(version) or TODAY
    return Dialect(
        public_ipv6=age >= (0, 15),
        vni=age >= (0, 11),
        udp_network=age < (0, 11),
        vxlan_static=age >= (0, 9),
    )
