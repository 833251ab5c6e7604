"""The kernel's tables of neighbours as a whole (RTM_GETNEIGHTBL of rtnetlink). Pure."""

import struct
from typing import Final, NamedTuple

from flanneld_py.kernel.netlink import NLM_F_DUMP, Request, attributes, number

__all__ = ["RTM_NEWNEIGHTBL", "NeighbourTable", "dump_tables", "filled", "seen_table"]

# linux/rtnetlink.h
RTM_NEWNEIGHTBL: Final = 64
RTM_GETNEIGHTBL: Final = 66

# linux/neighbour.h
NDTMSG: Final = struct.Struct("=BxH")
NDTA_NAME: Final = 1
NDTA_THRESH3: Final = 4
NDTA_STATS: Final = 7
NDT_STATS: Final = struct.Struct("=11Q")
NDTS_TABLE_FULLS: Final = 10

SYSCTLS: Final = {
    "arp_cache": "net.ipv4.neigh.default.gc_thresh3",
    "ndisc_cache": "net.ipv6.neigh.default.gc_thresh3",
}
"""What sets how many entries a table takes, by the table's name."""


class NeighbourTable(NamedTuple):
    """One table. All network namespaces of a kernel share it."""

    name: str
    limit: int
    """Maximum number of entries that are not permanent: gc_thresh3 (arp(7))."""
    refused: int
    """How often it was full and an entry was refused, since the kernel started."""


def dump_tables() -> Request:
    """Encode the request for all tables."""
    return Request(RTM_GETNEIGHTBL, NLM_F_DUMP, bytes(NDTMSG.size))


def seen_table(data: bytes, start: int, end: int) -> NeighbourTable | None:
    """Decode a table; None for another message: the kernel also lists each device's own settings."""
    found = attributes(data, start + NDTMSG.size, end)
    statistics = found.get(NDTA_STATS, b"")
    if len(statistics) < NDT_STATS.size:  # before Linux 4.3 the tables were not counted as full
        return None
    name = found.get(NDTA_NAME, b"").rstrip(b"\0").decode(errors="replace")
    refused = NDT_STATS.unpack_from(statistics)[NDTS_TABLE_FULLS]
    return NeighbourTable(name, number(found.get(NDTA_THRESH3)), refused)


def filled(before: NeighbourTable, now: NeighbourTable) -> str:
    """Say that a table was full meanwhile, and what to do about it; "" if it was not."""
    refused = now.refused - before.refused
    if refused <= 0 or now.name not in SYSCTLS:
        return ""
    return (
        f"the kernel's table of neighbours was full meanwhile, so that packets were dropped {refused} times: "
        f"it takes {now.limit} for all network namespaces of this machine together; raise "
        f"{SYSCTLS[now.name]} there, outside of any container"
    )
