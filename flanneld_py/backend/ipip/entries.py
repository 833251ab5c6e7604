"""What a peer's lease means for ipip: a route by the peer's own address. Pure.

As flannel's backend/route_network.go and ipip.go.
"""

from flanneld_py.backend.ipip.config import Ipip
from flanneld_py.backend.peers import Carried, Direct, Remark, ignored
from flanneld_py.kernel.entries import Route
from flanneld_py.lease.model import Lease
from flanneld_py.subnet import Subnet

__all__ = ["entries"]


def entries(lease: Lease, device: int, own: Subnet, direct: Direct | None) -> Carried:
    """The IPv4 route by the ipip device, or, if it is `direct` (DirectRouting), by the interface."""
    if remark := ignored(lease, Ipip.type, own):
        return Carried(remarks=(remark,))
    network, gateway = lease.subnet.ipv4, lease.attrs.public.ipv4
    if network is None or gateway is None:
        text = f"Ignoring the subnet {lease.subnet}: ipip carries IPv4 only"
        return Carried(remarks=(Remark(f"{lease.subnet} has no IPv4", text),))
    if direct is not None and gateway in direct:
        return Carried((Route(network, direct.index, gateway=gateway),))
    return Carried((Route(network, device, gateway=gateway, onlink=True),))
