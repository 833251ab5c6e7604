"""Notes in the kernel of which flanneld of this machine carries which network.

A note is a route in a separate table that no rule refers to. So there is one set of notes per network
namespace, whichever containers share it. Notes outlive a daemon and, like routes, are gone after a reboot.
"""

import errno
import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from flanneld_py.kernel.channel import Channel
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
from flanneld_py.kernel.rtnetlink import (
    AF_INET,
    AF_INET6,
    RT_SCOPE_UNIVERSE,
    RTA_DST,
    RTA_PRIORITY,
    RTA_TABLE,
    RTM_DELROUTE,
    RTM_GETROUTE,
    RTM_NEWROUTE,
    RTMSG,
)
from flanneld_py.kernel.stale import Note
from flanneld_py.subnet import Network

__all__ = ["TABLE", "forget_all", "note", "noted"]

TABLE: Final = 0x666C616E
"""The routing table, "flan" in ASCII; `ip route show table 1718378862` lists it."""

RTN_THROW: Final = 9  # linux/rtnetlink.h: continue as if this table had no route
U32: Final = struct.Struct("=I")


def noted() -> list[Note]:
    """Return the notes of all flannelds of this machine. Raises `OSError`."""
    with Channel() as channel:
        return list(_noted(channel))


def note(owner: int, networks: Iterable[Network]) -> None:
    """Record that this flanneld carries exactly these networks. Raises `OSError`."""
    wanted = {Note(network, owner) for network in networks}
    with Channel() as channel:
        there = {note for note in _noted(channel) if note.owner == owner}
        for each in wanted - there:
            channel.execute(Request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, _payload(each, RTN_THROW)))
        for each in there - wanted:
            _forget(channel, each)


def forget_all() -> Iterator[str]:
    """Remove all notes; yield what there was. Raises `OSError`."""
    with Channel() as channel:
        for each in list(_noted(channel)):
            _forget(channel, each)
            yield f"note of {each.network}"


def _forget(channel: Channel, each: Note) -> None:
    try:
        channel.execute(Request(RTM_DELROUTE, 0, _payload(each, 0)))
    except OSError as error:
        if error.errno != errno.ESRCH:  # already gone
            raise


def _noted(channel: Channel) -> Iterator[Note]:
    for family in (AF_INET, AF_INET6):
        payload = RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_TABLE, U32.pack(TABLE))
        try:
            dumped = channel.dump(Request(RTM_GETROUTE, NLM_F_DUMP, payload), RTM_NEWROUTE)
        except OSError as error:
            if error.errno == errno.ENOENT:  # the table does not exist yet
                continue
            raise
        for data, message in dumped:
            of, length, _, _, _, protocol, *_ = fixed(RTMSG, data, message.start, message.end)
            found = attributes(data, message.start + RTMSG.size, message.end)
            if (of, protocol, number(found.get(RTA_TABLE))) != (family, PROTOCOL, TABLE):
                continue  # kernels before 4.20 list everything, those without IPv6 list IPv4 instead
            network: Network
            if family == AF_INET:
                network = IPv4Network((found.get(RTA_DST, bytes(4)), length))
            else:
                network = IPv6Network((found.get(RTA_DST, bytes(16)), length))
            yield Note(network, number(found.get(RTA_PRIORITY)))


def _payload(each: Note, kind: int) -> bytes:
    family = AF_INET if each.network.version == 4 else AF_INET6
    length = each.network.prefixlen
    payload = RTMSG.pack(family, length, 0, 0, 0, PROTOCOL, RT_SCOPE_UNIVERSE, kind, 0)
    payload += attribute(RTA_TABLE, U32.pack(TABLE)) + attribute(RTA_PRIORITY, U32.pack(each.owner))
    return payload + attribute(RTA_DST, each.network.network_address.packed)
