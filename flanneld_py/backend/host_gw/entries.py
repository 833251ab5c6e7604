"""What a peer's lease means for host-gw: a route by the peer's own address. Pure.

As flannel's backend/route_network.go and hostgw.go.
"""

from collections.abc import Mapping

from flanneld_py.backend.host_gw.config import HostGw
from flanneld_py.backend.peers import Carried, Direct, Remark, ignored, unusable
from flanneld_py.kernel.entries import Entry, Route
from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Address, Network, Subnet
from flanneld_py.underlay.interface import Interface, NextHop

__all__ = ["entries", "not_on_link"]


def entries(
    lease: Lease, interface: Interface, overlay: Subnet, own: Subnet, ways: Mapping[Address, NextHop]
) -> Carried:
    """Routes to the peer's subnets by its public addresses; for the families that the overlay has.

    Whether a peer is on the interface's link the kernel decides: an administrator's route can make it so. But
    it takes any gateway within the interface's own prefix, also one that it reaches itself by a router; as
    flannel we have that route, and warn of it.
    """
    if remark := ignored(lease, HostGw.type, own):
        return Carried(remarks=(remark,))
    found: list[Entry] = []
    remarks: list[Remark] = []
    public = lease.attrs.public
    families: tuple[tuple[Network | None, Network | None, Address | None], ...] = (
        (overlay.ipv4, lease.subnet.ipv4, public.ipv4),
        (overlay.ipv6, lease.subnet.ipv6, public.ipv6),
    )
    for whole, network, gateway in families:
        if whole is None or network is None:
            continue
        problem = unusable(gateway)
        if problem or gateway is None:
            remarks.append(Remark(f"{network} {problem}", f"Ignoring the subnet {network}: {problem}"))
            continue
        found.append(Route(network, interface.index, gateway=gateway))
        if (way := ways.get(gateway)) is not None and way.gateway is not None:
            far = not_on_link(gateway, interface, ways)
            remarks.append(Remark(f"{network} {far}", f"Packets to the subnet {network} may be lost: {far}"))
    return Carried(tuple(found), tuple(remarks))


def not_on_link(gateway: Address, interface: Interface, ways: Mapping[Address, NextHop]) -> str:
    """Why host-gw cannot send to this peer; "" where the kernel sends to it on the interface's own link."""
    if gateway in Direct(interface.index, ways):
        return ""
    way = ways.get(gateway)
    if way is None:
        where = "this machine has no route to it"
    elif way.gateway is not None:
        where = f"its router is {way.gateway}"
    else:
        where = "it is behind another interface"
    return (
        f"{gateway} is not on the link of {interface.name} ({where}), and host-gw needs all machines on one; "
        "use the backend vxlan, which crosses routers"
    )
