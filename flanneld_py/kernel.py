"""Links, addresses and routes; the only module that imports `pyroute2`."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from socket import AF_INET
from typing import Any, Final

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from flanneld_py.errors import Fatal

__all__ = ["Interface", "configure", "external_interface", "require_net_admin"]

CAP_NET_ADMIN: Final = 12  # linux/capability.h
RT_TABLE_MAIN: Final = 254  # linux/rtnetlink.h
IFF_LOOPBACK: Final = 0x8  # linux/if.h


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its first IPv4 address; `mtu` in bytes."""

    name: str
    address: IPv4Address
    mtu: int


def require_net_admin() -> None:
    """Raise `Fatal` unless this process may configure the network."""
    effective = int(Path("/proc/self/status").read_text().partition("CapEff:")[2].split()[0], 16)
    if not effective >> CAP_NET_ADMIN & 1:
        raise Fatal("Making flannel0 needs CAP_NET_ADMIN, which this process lacks: run flanneld as root")


def external_interface(wanted: str) -> Interface:
    """The interface of that name or address, or of the default route if `wanted` is empty. Raises `Fatal`."""
    with IPRoute() as ip:
        interfaces = _interfaces(ip)
        if wanted:
            return _wanted(interfaces, wanted)
        # The kernel lists routes of one prefix by metric, the best first.
        for route in ip.get_routes(family=AF_INET, table=RT_TABLE_MAIN):
            index = _outgoing(route)
            if route["dst_len"] == 0 and index is not None:
                (link,) = ip.link("get", index=index)
                return _wanted(interfaces, str(link.get_attr("IFLA_IFNAME")))
    raise Fatal(
        "Failed to get default interface: Unable to find default route; "
        f"name one with -iface: {_names(interfaces)}"
    )


def _outgoing(route: Any) -> int | None:
    """The index of the link that a route goes out by: the first, where it has several next hops."""
    hops = route.get_attr("RTA_MULTIPATH")
    index: int | None = hops[0]["oif"] if hops else route.get_attr("RTA_OIF")
    return index


def _interfaces(ip: IPRoute) -> Sequence[Interface]:
    links = {link["index"]: link for link in ip.get_links() if not link["flags"] & IFF_LOOPBACK}
    return [
        Interface(
            str(links[item["index"]].get_attr("IFLA_IFNAME")),
            IPv4Address(item.get_attr("IFA_LOCAL")),
            int(links[item["index"]].get_attr("IFLA_MTU")),
        )
        for item in ip.get_addr(family=AF_INET)
        if item["index"] in links
    ]


def _wanted(interfaces: Sequence[Interface], wanted: str) -> Interface:
    for interface in interfaces:
        if wanted in {interface.name, str(interface.address)}:
            return interface
    raise Fatal(
        f"Error looking up interface {wanted}: none with an IPv4 address has this name or address; "
        f"there is: {_names(interfaces)}"
    )


def _names(interfaces: Sequence[Interface]) -> str:
    return ", ".join(f"{item.name} ({item.address})" for item in interfaces) or "none"


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
