"""Encoding and decoding of device addresses as rtnetlink messages (linux/if_addr.h). Pure."""

import struct
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Final

from flanneld_py.kernel.entries import PROTOCOL
from flanneld_py.kernel.netlink import (
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    Request,
    attribute,
    attributes,
    fixed,
    number,
)
from flanneld_py.kernel.rtnetlink import AF_INET, AF_INET6

__all__ = ["RTM_NEWADDR", "HeldAddress", "dump_addresses", "forget_address", "give_address", "held_address"]

RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22  # linux/rtnetlink.h

# linux/if_addr.h
IFADDRMSG: Final = struct.Struct("=4Bi")  # family, prefixlen, flags, scope, index
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_PROTO = 1, 2, 8, 11
IFA_F_NODAD: Final = 0x02


@dataclass(frozen=True, slots=True)
class HeldAddress:
    """An address of a device: IFA_LOCAL, or else IFA_ADDRESS, with its prefix length; and IFA_FLAGS.

    `ours`: it carries our mark (IFA_PROTO), which kernels before 5.18 do not store.
    """

    device: int
    address: IPv4Interface | IPv6Interface
    flags: int
    ours: bool = False


def dump_addresses(family: int, index: int = 0) -> Request:
    """Request the addresses of a device, or of all (index 0); family 0 means both families."""
    return Request(RTM_GETADDR, NLM_F_DUMP, IFADDRMSG.pack(family, 0, 0, 0, index))


def held_address(data: bytes, start: int, end: int) -> HeldAddress | None:
    """Decode an RTM_NEWADDR; None for another address family."""
    family, length, flags, _, index = fixed(IFADDRMSG, data, start, end)
    found = attributes(data, start + IFADDRMSG.size, end)
    # On a point-to-point link IFA_ADDRESS is the remote end; otherwise IPv6 has no IFA_LOCAL.
    packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    if packed is None or family not in (AF_INET, AF_INET6):
        return None
    address = IPv4Interface((packed, length)) if family == AF_INET else IPv6Interface((packed, length))
    ours = number(found.get(IFA_PROTO)) == PROTOCOL
    return HeldAddress(index, address, number(found.get(IFA_FLAGS)) or flags, ours)


def give_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Request to add a marked address. IPv6 skips duplicate detection, since the lease ensures uniqueness."""
    flags = NLM_F_CREATE | NLM_F_REPLACE
    payload = _address(index, address, IFA_F_NODAD if address.version == 6 else 0)
    return Request(RTM_NEWADDR, flags, payload + attribute(IFA_PROTO, bytes([PROTOCOL])))


def forget_address(index: int, address: IPv4Interface | IPv6Interface) -> Request:
    """Request to remove an address."""
    return Request(RTM_DELADDR, 0, _address(index, address, 0))


def _address(index: int, address: IPv4Interface | IPv6Interface, flags: int) -> bytes:
    family = AF_INET if address.version == 4 else AF_INET6
    packed = address.ip.packed
    payload = IFADDRMSG.pack(family, address.network.prefixlen, flags, 0, index)
    return payload + attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed)
