"""Encoding and decoding of nftables set elements and counters as netlink messages. Pure.

The program nft takes some 10 ms per change and may block behind others; a message takes microseconds. Tables,
chains and rules, which hardly ever change, are left to nft.
"""

import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flanneld_py.kernel.netlink import NLM_F_CREATE, NLM_F_DUMP, Request, attribute, attributes, fixed
from flanneld_py.subnet import Address

__all__ = ["MOST", "NFT_MSG_NEWGEN", "NFT_MSG_NEWOBJ", "NFT_MSG_NEWSETELEM", "batch_begin", "batch_end"]
__all__ += ["change", "counted", "counter", "dump", "elements", "generation", "generation_of"]

# linux/netfilter/nfnetlink.h
NFNL_SUBSYS_NFTABLES: Final = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 16, 17
NFGENMSG: Final = struct.Struct(">BBH")  # family, version, resource

# linux/netfilter/nf_tables.h
_TABLES: Final = NFNL_SUBSYS_NFTABLES << 8
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = _TABLES | 12, _TABLES | 13, _TABLES | 14
NFT_MSG_NEWGEN, NFT_MSG_GETGEN = _TABLES | 15, _TABLES | 16
NFT_MSG_NEWOBJ, NFT_MSG_GETOBJ = _TABLES | 18, _TABLES | 19
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_LIST_ELEM = NFTA_SET_ELEM_KEY = NFTA_DATA_VALUE = 1
NFTA_OBJ_TABLE, NFTA_OBJ_NAME, NFTA_OBJ_TYPE, NFTA_OBJ_DATA = 1, 2, 3, 4
NFTA_COUNTER_PACKETS: Final = 2
NFT_OBJECT_COUNTER: Final = 1
NFTA_GEN_ID: Final = 1
NFPROTO_UNSPEC, NFPROTO_INET = 0, 1  # linux/netfilter.h
NLA_F_NESTED: Final = 0x8000

MOST: Final = 1000
"""Maximum elements per message: an attribute has at most 65,535 bytes."""


def batch_begin() -> Request:
    """Begin a batch: what follows is applied atomically."""
    return Request(NFNL_MSG_BATCH_BEGIN, 0, NFGENMSG.pack(NFPROTO_UNSPEC, 0, NFNL_SUBSYS_NFTABLES))


def batch_end() -> Request:
    """End a batch."""
    return Request(NFNL_MSG_BATCH_END, 0, NFGENMSG.pack(NFPROTO_UNSPEC, 0, NFNL_SUBSYS_NFTABLES))


def change(table: str, name: str, addresses: Sequence[Address], *, add: bool) -> list[Request]:
    """Add or remove addresses of a set in an inet table; adding one that exists is no error."""
    kind, flags = (NFT_MSG_NEWSETELEM, NLM_F_CREATE) if add else (NFT_MSG_DELSETELEM, 0)
    return [
        Request(kind, flags, _of_set(table, name) + _elements(addresses[first : first + MOST]))
        for first in range(0, len(addresses), MOST)
    ]


def _elements(addresses: Sequence[Address]) -> bytes:
    items = b"".join(
        attribute(
            NFTA_LIST_ELEM | NLA_F_NESTED,
            attribute(NFTA_SET_ELEM_KEY | NLA_F_NESTED, attribute(NFTA_DATA_VALUE, address.packed)),
        )
        for address in addresses
    )
    return attribute(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED, items)


def dump(table: str, name: str) -> Request:
    """Request all elements of a set."""
    return Request(NFT_MSG_GETSETELEM, NLM_F_DUMP, _of_set(table, name))


def _of_set(table: str, name: str) -> bytes:
    head = NFGENMSG.pack(NFPROTO_INET, 0, 0) + _text(NFTA_SET_ELEM_LIST_TABLE, table)
    return head + _text(NFTA_SET_ELEM_LIST_SET, name)


def elements(data: bytes, start: int, end: int) -> Iterator[Address]:
    """Decode the addresses in an NFT_MSG_NEWSETELEM."""
    fixed(NFGENMSG, data, start, end)
    listed = attributes(data, start + NFGENMSG.size, end).get(NFTA_SET_ELEM_LIST_ELEMENTS, b"")
    place = 0
    while place + 4 <= len(listed):  # all have the same type, so a mapping by type would not do
        (size,) = struct.unpack_from("=H", listed, place)
        if size < 4:
            return
        inner = attributes(listed, place + 4, min(place + size, len(listed)))
        key = inner.get(NFTA_SET_ELEM_KEY, b"")
        packed = attributes(key, 0, len(key)).get(NFTA_DATA_VALUE, b"")
        if len(packed) == 4:
            yield IPv4Address(packed)
        elif len(packed) == 16:
            yield IPv6Address(packed)
        place += size + 3 & ~3


def counter(table: str, name: str) -> Request:
    """Request a counter."""
    payload = NFGENMSG.pack(NFPROTO_INET, 0, 0) + _text(NFTA_OBJ_TABLE, table) + _text(NFTA_OBJ_NAME, name)
    return Request(
        NFT_MSG_GETOBJ, 0, payload + attribute(NFTA_OBJ_TYPE, struct.pack(">I", NFT_OBJECT_COUNTER))
    )


def counted(data: bytes, start: int, end: int) -> int:
    """Decode the packet count in an NFT_MSG_NEWOBJ."""
    fixed(NFGENMSG, data, start, end)
    inner = attributes(data, start + NFGENMSG.size, end).get(NFTA_OBJ_DATA, b"")
    return int.from_bytes(attributes(inner, 0, len(inner)).get(NFTA_COUNTER_PACKETS, b""))


def generation() -> Request:
    """Request the generation: the number of the last change to any table of this network namespace."""
    return Request(NFT_MSG_GETGEN, 0, NFGENMSG.pack(NFPROTO_UNSPEC, 0, 0))


def generation_of(data: bytes, start: int, end: int) -> int:
    """Decode the generation in an NFT_MSG_NEWGEN."""
    fixed(NFGENMSG, data, start, end)
    return int.from_bytes(attributes(data, start + NFGENMSG.size, end).get(NFTA_GEN_ID, b""))


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")
