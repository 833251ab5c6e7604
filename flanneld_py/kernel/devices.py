"""Network devices as rtnetlink messages, and back (linux/if_link.h). Pure."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from flanneld_py.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    Request,
    attribute,
    attributes,
    fixed,
    number,
)
from flanneld_py.subnet import Address

__all__ = ["IFF_UP", "RTM_NEWLINK", "VXLAN_PORT", "Device", "IpipLink", "LinkSpec", "VxlanLink"]
__all__ += ["change", "create", "create_external_vxlan", "delete", "device", "difference", "dump_links"]
__all__ += ["get_link", "get_link_of"]

# linux/rtnetlink.h
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
IFINFOMSG: Final = struct.Struct("=BxHiII")  # family, type, index, flags, change

IFF_UP: Final = 0x1  # linux/if.h

# linux/if_link.h
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_TXQLEN, IFLA_LINKINFO = 1, 3, 4, 13, 18
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_VXLAN_ID, IFLA_VXLAN_GROUP, IFLA_VXLAN_LINK, IFLA_VXLAN_LOCAL, IFLA_VXLAN_LEARNING = 1, 2, 3, 4, 7
IFLA_VXLAN_L2MISS, IFLA_VXLAN_PORT, IFLA_VXLAN_GROUP6, IFLA_VXLAN_LOCAL6, IFLA_VXLAN_GBP = 13, 15, 16, 17, 23
IFLA_VXLAN_COLLECT_METADATA, IFLA_VXLAN_GPE = 25, 27

VXLAN_PORT: Final = 8472
"""The kernel's default (drivers/net/vxlan), older than the 4789 of RFC 7348."""

# linux/if_tunnel.h
IFLA_IPTUN_LOCAL, IFLA_IPTUN_REMOTE, IFLA_IPTUN_PMTUDISC = 2, 3, 10


@dataclass(frozen=True, slots=True)
class VxlanLink:
    """A vxlan device. Its packets go out by the device of the index `underlay`, from the address `local`.

    `port` is what peers are sent to, in the usual byte order; 0 is the kernel's default. `mtu` in bytes; 0
    leaves it to the kernel. `mac` is for a device that has to be made; without, one is made up.
    """

    name: str
    vni: int
    underlay: int
    local: Address
    port: int = 0
    gbp: bool = False
    learning: bool = False
    mtu: int = 0
    mac: str = ""


@dataclass(frozen=True, slots=True)
class IpipLink:
    """A device that puts IPv4 packets into IPv4 packets from the address `local`. `mtu` as of `VxlanLink`."""

    name: str
    local: IPv4Address
    mtu: int = 0


LinkSpec: TypeAlias = VxlanLink | IpipLink


@dataclass(frozen=True, slots=True)
class Device:
    """A device as the kernel lists it; `data` are the attributes of its kind (IFLA_INFO_DATA)."""

    name: str
    index: int
    flags: int
    mtu: int
    mac: str = ""
    kind: str = ""
    queue_length: int = 0
    data: Mapping[int, bytes] = field(default_factory=dict)


def create(link: LinkSpec, port: int, mac: str) -> Request:
    """Make it; that it exists is an error. `port` instead of the specification's, if that is 0."""
    settings = attribute(IFLA_MTU, _u32(link.mtu)) if link.mtu else b""
    if isinstance(link, VxlanLink):
        settings += attribute(IFLA_ADDRESS, bytes.fromhex(mac.replace(":", "")))
        return _create(link.name, b"vxlan", _vxlan(link, link.port or port), settings)
    # flannel's library turns path MTU discovery off, so an inner packet's DF is that of the outer one.
    data = attribute(IFLA_IPTUN_LOCAL, link.local.packed) + attribute(IFLA_IPTUN_PMTUDISC, b"\0")
    return _create(link.name, b"ipip", data, settings)


def create_external_vxlan(name: str, under: int, port: int) -> Request:
    """Make a VXLAN-GPE device of any VNI (`external`), upon the device of the index `under`."""
    data = (
        attribute(IFLA_VXLAN_LINK, _u32(under))
        + attribute(IFLA_VXLAN_LEARNING, b"\0")
        + attribute(IFLA_VXLAN_PORT, port.to_bytes(2, "big"))
        + attribute(IFLA_VXLAN_COLLECT_METADATA, b"\1")
        + attribute(IFLA_VXLAN_GPE, b"")
    )
    return _create(name, b"vxlan", data)


def _create(name: str, kind: bytes, data: bytes, settings: bytes = b"") -> Request:
    payload = IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0") + settings
    info = attribute(IFLA_INFO_KIND, kind) + attribute(IFLA_INFO_DATA, data)
    return Request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload + attribute(IFLA_LINKINFO, info))


def _vxlan(link: VxlanLink, port: int) -> bytes:
    local = IFLA_VXLAN_LOCAL if link.local.version == 4 else IFLA_VXLAN_LOCAL6
    parts = [
        attribute(IFLA_VXLAN_ID, _u32(link.vni)),
        attribute(IFLA_VXLAN_LINK, _u32(link.underlay)),
        attribute(local, link.local.packed),
        attribute(IFLA_VXLAN_LEARNING, bytes([link.learning])),
        attribute(IFLA_VXLAN_PORT, port.to_bytes(2, "big")),
        attribute(IFLA_VXLAN_GBP, b"") if link.gbp else b"",
    ]
    return b"".join(parts)


def difference(wanted: LinkSpec, port: int, there: Device) -> str:
    """Why a device of this name is not the one that is wanted; "" if it is. `port` as of `create`.

    As flannel's vxlanLinksIncompat, and `learning` besides.
    """
    kind = "vxlan" if isinstance(wanted, VxlanLink) else "ipip"
    if there.kind != kind:
        return f"link type: {there.kind or 'none'}, not {kind}"
    if isinstance(wanted, IpipLink):
        local, remote = (there.data.get(key, bytes(4)) for key in (IFLA_IPTUN_LOCAL, IFLA_IPTUN_REMOTE))
        if local != wanted.local.packed:
            return f"local address: {IPv4Address(local)}, not {wanted.local}"
        return f"remote address: {IPv4Address(remote)}, not any" if any(remote) else ""
    data = there.data
    local = data.get(IFLA_VXLAN_LOCAL) or data.get(IFLA_VXLAN_LOCAL6) or b""
    group = data.get(IFLA_VXLAN_GROUP) or data.get(IFLA_VXLAN_GROUP6) or b""
    compared: tuple[tuple[str, object, object], ...] = (
        ("vni", number(data.get(IFLA_VXLAN_ID)), wanted.vni),
        ("vtep (external) interface", number(data.get(IFLA_VXLAN_LINK)), wanted.underlay),
        ("vtep (external) IP", _text(local), str(wanted.local)),
        ("group address", _text(group), "none"),
        ("l2miss", bool(number(data.get(IFLA_VXLAN_L2MISS))), False),
        ("port", int.from_bytes(data.get(IFLA_VXLAN_PORT, b""), "big"), wanted.port or port),
        ("gbp", IFLA_VXLAN_GBP in data, wanted.gbp),
        ("learning", bool(number(data.get(IFLA_VXLAN_LEARNING))), wanted.learning),
    )
    return next((f"{name}: {is_}, not {should}" for name, is_, should in compared if is_ != should), "")


def _text(packed: bytes) -> str:
    if not any(packed):
        return "none"
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))


def change(index: int, *, mtu: int = 0, queue_length: int = 0, up: bool = False) -> Request:
    """Give a device another MTU (bytes) or queue length (packets), where not 0, or set it up."""
    payload = IFINFOMSG.pack(0, 0, index, IFF_UP if up else 0, IFF_UP if up else 0)
    payload += attribute(IFLA_MTU, _u32(mtu)) if mtu else b""
    payload += attribute(IFLA_TXQLEN, _u32(queue_length)) if queue_length else b""
    return Request(RTM_NEWLINK, 0, payload)


def delete(index: int) -> Request:
    """Take a device away."""
    return Request(RTM_DELLINK, 0, IFINFOMSG.pack(0, 0, index, 0, 0))


def get_link(name: str) -> Request:
    """Ask for the device of this name."""
    payload = IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    return Request(RTM_GETLINK, 0, payload)


def get_link_of(index: int) -> Request:
    """Ask for the device of this index."""
    return Request(RTM_GETLINK, 0, IFINFOMSG.pack(0, 0, index, 0, 0))


def dump_links() -> Request:
    """Ask for all devices."""
    return Request(RTM_GETLINK, NLM_F_DUMP, IFINFOMSG.pack(0, 0, 0, 0, 0))


def device(data: bytes, start: int, end: int) -> Device:
    """The device of an RTM_NEWLINK."""
    _, _, index, flags, _ = fixed(IFINFOMSG, data, start, end)
    found = attributes(data, start + IFINFOMSG.size, end)
    info = _nested(found.get(IFLA_LINKINFO))
    return Device(
        _name(found.get(IFLA_IFNAME)),
        index,
        flags,
        number(found.get(IFLA_MTU)),
        found.get(IFLA_ADDRESS, b"").hex(":"),
        _name(info.get(IFLA_INFO_KIND)),
        number(found.get(IFLA_TXQLEN)),
        _nested(info.get(IFLA_INFO_DATA)),
    )


def _nested(data: bytes | None) -> dict[int, bytes]:
    return {} if data is None else attributes(data, 0, len(data))


def _name(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode(errors="replace")


def _u32(value: int) -> bytes:
    return struct.pack("=I", value)
