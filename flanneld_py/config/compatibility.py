"""What a backend cannot do with the address families that the overlay has."""

from collections.abc import Iterator
from typing import Final

from flanneld_py.config.model import BackendConfig, Ipip, NetworkConfig, Udp, Vxlan, Wireguard
from flanneld_py.config.reader import Problem

__all__ = ["misfits", "uncarried"]

LONGEST_NAME: Final = 15
"""Characters of a device's name: IFNAMSIZ of linux/if.h, without the zero at the end."""

LOWEST_MTU: Final = 68
"""Bytes that every IPv4 network must carry (RFC 791)."""

LOWEST_MTU_IPV6: Final = 1280
"""Bytes that every IPv6 network must carry (RFC 8200)."""

VXLAN_IPV4, VXLAN_IPV6 = 50, 70
"""Bytes that VXLAN adds to a packet: Ethernet 14, VXLAN 8, UDP 8, and IPv4 20 or IPv6 40."""


WIREGUARD: Final = 80
"""Bytes that WireGuard adds at most: IPv6 40, UDP 8, and its own 16 and 16 (its whitepaper, 5.4.6)."""


def misfits(backend: BackendConfig, *, ipv4: bool, ipv6: bool) -> Iterator[Problem]:
    """Everything that is wrong with what is written of the backend in an overlay of these families."""
    if isinstance(backend, Vxlan):
        yield from _vxlan(backend, ipv4=ipv4, ipv6=ipv6)
    elif isinstance(backend, Wireguard):
        yield from _wireguard(backend, ipv4=ipv4, ipv6=ipv6)


def uncarried(network: NetworkConfig) -> Problem | None:
    """What the backend of this network cannot carry.

    The configuration is right all the same: flannel reads it, and its server hands out leases for it.
    """
    kind = network.backend.type
    if not isinstance(network.backend, Udp | Ipip) or network.ipv6 is None:
        return None
    default = ", which is the backend where none is given," if isinstance(network.backend, Udp) else ""
    text = f"{kind}{default} carries IPv4 only, and EnableIPv6 is true"
    return Problem("Backend.Type", text, "leave EnableIPv6 out, or choose the backend vxlan")


def _vxlan(backend: Vxlan, *, ipv4: bool, ipv6: bool) -> Iterator[Problem]:
    name = f"flannel-v6.{backend.vni}" if ipv6 else f"flannel.{backend.vni}"
    if (ipv4 or ipv6) and len(name) > LONGEST_NAME:
        highest = 10 ** (LONGEST_NAME - len(name.rstrip("0123456789"))) - 1
        text = (
            f"is {backend.vni}, which makes a device {name}, and a name has at most {LONGEST_NAME} characters"
        )
        yield Problem("Backend.VNI", text, f"give a number from 1 to {highest}")
    if ipv6:
        yield from _mtu(backend.mtu, LOWEST_MTU_IPV6 + VXLAN_IPV6)
    elif ipv4:
        yield from _mtu(backend.mtu, LOWEST_MTU + VXLAN_IPV4)


def _wireguard(backend: Wireguard, *, ipv4: bool, ipv6: bool) -> Iterator[Problem]:
    # The kernel opens a device's port for both families at once.
    if ipv4 and ipv6 and backend.mode == "separate" and backend.listen_port == backend.listen_port_v6:
        text = f"is {backend.listen_port_v6} as Backend.ListenPort is, and two devices cannot share a port"
        yield Problem("Backend.ListenPortV6", text, 'give another one, or "Mode": "auto" for one device')
    yield from _mtu(backend.mtu, (LOWEST_MTU_IPV6 if ipv6 else LOWEST_MTU) + WIREGUARD)


def _mtu(given: int, lowest: int) -> Iterator[Problem]:
    if 0 < given < lowest:
        fix = f"give {lowest} or more, or none for what the interface carries"
        yield Problem("Backend.MTU", f"is {given}", fix)
