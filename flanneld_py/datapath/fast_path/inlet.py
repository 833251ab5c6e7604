"""The inlet: a vxlan device that packets of the fast path come in by, to lose the mark of encapsulation.

See docs/adr/0009-what-decapsulation-leaves-behind.md. It takes only what the program at the underlay has
given it; what a network sends to its port is dropped by the program at the device. It stands upon the TUN
device, so it ends with that one, however the process ends.
"""

import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from flanneld_py.kernel import devices
from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.links import delete_link
from flanneld_py.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, Request, attribute

__all__ = ["creation", "name_of", "open_inlet"]

IFNAMSIZ: Final = 16  # linux/if.h, with the final 0

# linux/if_link.h
IFLA_VXLAN_COLLECT_METADATA, IFLA_VXLAN_GPE = 25, 27


def name_of(tun: str) -> str:
    """The inlet beside a TUN device: `flannel0-in`."""
    return f"{tun[: IFNAMSIZ - 4]}-in"


def creation(name: str, tun: int, port: int) -> Request:
    """Make the device: VXLAN-GPE, of any VNI (`external`), upon the device of this index."""
    data = (
        attribute(devices.IFLA_VXLAN_LINK, struct.pack("=I", tun))
        + attribute(devices.IFLA_VXLAN_LEARNING, b"\0")
        + attribute(devices.IFLA_VXLAN_PORT, port.to_bytes(2, "big"))
        + attribute(IFLA_VXLAN_COLLECT_METADATA, b"\1")
        + attribute(IFLA_VXLAN_GPE, b"")
    )
    info = attribute(devices.IFLA_INFO_KIND, b"vxlan") + attribute(devices.IFLA_INFO_DATA, data)
    payload = devices.IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute(devices.IFLA_IFNAME, name.encode() + b"\0")
    payload += attribute(devices.IFLA_LINKINFO, info)
    return Request(devices.RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload)


def open_inlet(tun: str, guard: Callable[[int], None]) -> tuple[int, Callable[[], None]]:
    """Make the inlet; its UDP port, and what takes it away.

    `guard` gets its index while it is down, to attach the program to it. Raises OSError, and what `guard`
    raises; then there is none.
    """
    name, port = name_of(tun), _free_port()
    with ExitStack() as made, Channel() as channel:
        channel.execute(creation(name, socket.if_nametoindex(tun), port))
        made.callback(delete_link, name)
        index = socket.if_nametoindex(name)
        guard(index)
        channel.execute(devices.change(index, up=True))  # only now its port is open
        return port, made.pop_all().close


def _free_port() -> int:
    """A port that nobody has. Packets do not name it, the program finds the socket by it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as taken:
        taken.bind(("", 0))
        port: int = taken.getsockname()[1]
    return port
