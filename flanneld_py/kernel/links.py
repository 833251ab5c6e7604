"""Network devices: made, found, configured."""

from ipaddress import IPv4Address
from socket import AF_INET

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from flanneld_py.errors import Fatal

__all__ = ["configure"]


def configure(name: str, address: IPv4Address, prefixlen: int, mtu: int, queue_length: int) -> None:
    """Give a link this one IPv4 address, MTU (bytes) and queue length (packets), and set it up.

    With the address the kernel makes the route to its network (`proto kernel scope link`), so there is
    none to add. Raises `Fatal`.
    """
    try:
        with IPRoute() as ip:
            (index,) = ip.link_lookup(ifname=name)
            wanted = (str(address), prefixlen)
            present = {
                (item.get_attr("IFA_LOCAL"), item["prefixlen"])
                for item in ip.get_addr(family=AF_INET, index=index)
            }
            for other, length in present - {wanted}:
                ip.addr("del", index=index, address=other, prefixlen=length)
            if wanted not in present:
                ip.addr("add", index=index, address=str(address), prefixlen=prefixlen)
            ip.link("set", index=index, mtu=mtu, txqlen=queue_length, state="up")
    except (NetlinkError, ValueError) as error:
        raise Fatal(f"Giving {name} the address {address}/{prefixlen} and MTU {mtu}: {error}") from error
