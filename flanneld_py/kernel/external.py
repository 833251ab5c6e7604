"""The external interface, by name, address or default route."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from socket import AF_INET
from typing import Any, Final

from pyroute2.iproute.linux import IPRoute

from flanneld_py.errors import Fatal

__all__ = ["Interface", "external_interface"]

RT_TABLE_MAIN: Final = 254  # linux/rtnetlink.h
IFF_LOOPBACK: Final = 0x8  # linux/if.h


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface with its first IPv4 address; `mtu` in bytes."""

    name: str
    address: IPv4Address
    mtu: int


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
