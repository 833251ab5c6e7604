"""The frame of every netlink message: header, attributes, errors (linux/netlink.h). Pure."""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["NLMSG_DONE", "NLMSG_ERROR"]
__all__ += ["NLM_F_CREATE", "NLM_F_DUMP", "NLM_F_DUMP_INTR", "NLM_F_EXCL", "NLM_F_REPLACE"]
__all__ += [
    "Message",
    "NetlinkRefusal",
    "Request",
    "attribute",
    "attributes",
    "fixed",
    "messages",
    "number",
    "refusal",
]

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

NLMSG_HDR: Final = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
NLATTR: Final = struct.Struct("=HH")  # length, type
NLA_TYPE_MASK: Final = 0x3FFF
ERROR: Final = struct.Struct("=i")

# enum nlmsgerr_attrs
NLMSGERR_ATTR_MSG: Final = 1


# nlmsg_flags
NLM_F_REQUEST: Final = 0x01
NLM_F_ACK: Final = 0x04
NLM_F_DUMP_INTR: Final = 0x10  # the dump may be wrong, because what it shows changed meanwhile
NLM_F_DUMP: Final = 0x300  # of a GET request
NLM_F_REPLACE: Final = 0x100  # of a NEW request
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_CAPPED: Final = 0x100  # of an answer: the request is not repeated after its header
NLM_F_ACK_TLVS: Final = 0x200  # of an answer: attributes follow


class Message(NamedTuple):
    """Where in the received bytes a message's payload is."""

    kind: int
    flags: int
    sequence: int
    start: int
    end: int


class Request(NamedTuple):
    """What the kernel is asked to do; `payload` is a multiple of 4 bytes long."""

    kind: int
    flags: int
    payload: bytes

    def frame(self, sequence: int, acknowledge: bool = False) -> bytes:
        """As it is sent. Without `acknowledge` the kernel tells failure only."""
        flags = self.flags | (NLM_F_REQUEST | NLM_F_ACK if acknowledge else NLM_F_REQUEST)
        return NLMSG_HDR.pack(16 + len(self.payload), self.kind, flags, sequence, 0) + self.payload


def messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram. Raises `ValueError` where they are no messages."""
    at, size = 0, len(data)
    unpack = NLMSG_HDR.unpack_from
    while at + 16 <= size:
        length, kind, flags, sequence, _ = unpack(data, at)
        if length < 16 or at + length > size:
            raise ValueError(f"a netlink message of {length} bytes where {size - at} are left")
        yield Message(kind, flags, sequence, at + 16, at + length)
        at += length + 3 & ~3


def fixed(layout: struct.Struct, data: bytes, start: int, end: int) -> tuple[int, ...]:
    """The numbers that a payload begins with. Raises `ValueError` where it is shorter."""
    if end - start < layout.size:
        raise ValueError(f"a netlink payload of {end - start} bytes where {layout.size} are the least")
    return layout.unpack_from(data, start)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to a multiple of 4 bytes."""
    return NLATTR.pack(4 + len(value), kind) + value + bytes(-len(value) & 3)


def attributes(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """The attributes there, by type; the last where one is repeated. Raises `ValueError`."""
    found = {}
    unpack = NLATTR.unpack_from
    while start + 4 <= end:
        length, kind = unpack(data, start)
        if length < 4 or start + length > end:
            raise ValueError(f"a netlink attribute of {length} bytes where {end - start} are left")
        found[kind & NLA_TYPE_MASK] = data[start + 4 : start + length]
        start += length + 3 & ~3
    return found


def number(value: bytes | None) -> int:
    """An attribute's unsigned number, of any size; 0 without."""
    return 0 if value is None else int.from_bytes(value, _ORDER)


_ORDER: Final = "little" if struct.pack("=H", 1)[0] else "big"


class NetlinkRefusal(NamedTuple):
    """Why the kernel does not do it: an errno, and with NETLINK_EXT_ACK mostly words."""

    code: int
    words: str


def refusal(data: bytes, message: Message) -> NetlinkRefusal | None:
    """What an NLMSG_ERROR, or an NLMSG_DONE, tells; None if all is well. Raises `ValueError`."""
    if message.end - message.start < 4:
        return None  # an NLMSG_DONE of old kernels
    code = -ERROR.unpack_from(data, message.start)[0]
    if code <= 0:
        return None
    if not message.flags & NLM_F_ACK_TLVS:
        return NetlinkRefusal(code, "")
    at = message.start + 4
    if message.kind == NLMSG_ERROR:  # the request follows, or just its header
        if message.end - at < 16:
            raise ValueError("a netlink error without the request's header")
        length = NLMSG_HDR.unpack_from(data, at)[0]
        at += 16 if message.flags & NLM_F_CAPPED else length + 3 & ~3
    said = attributes(data, at, message.end).get(NLMSGERR_ATTR_MSG, b"")
    return NetlinkRefusal(code, said.rstrip(b"\0").decode(errors="replace"))
