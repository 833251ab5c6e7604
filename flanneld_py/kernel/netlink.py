"""Framing of netlink messages: header, attributes, errors (linux/netlink.h). Pure."""

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
NLM_F_DUMP_INTR: Final = 0x10  # the dump may be inconsistent because of concurrent changes
NLM_F_DUMP: Final = 0x300  # in a GET request
NLM_F_REPLACE: Final = 0x100  # in a NEW request
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_CAPPED: Final = 0x100  # in an answer: only the request's header is included
NLM_F_ACK_TLVS: Final = 0x200  # in an answer: attributes follow


class Message(NamedTuple):
    """Position of a message's payload in the received bytes."""

    kind: int
    flags: int
    sequence: int
    start: int
    end: int


class Request(NamedTuple):
    """A request to the kernel; the length of `payload` is a multiple of 4 bytes."""

    kind: int
    flags: int
    payload: bytes

    def frame(self, sequence: int, acknowledge: bool = False) -> bytes:
        """Encode the request. Without `acknowledge` the kernel reports failures only."""
        flags = self.flags | (NLM_F_REQUEST | NLM_F_ACK if acknowledge else NLM_F_REQUEST)
        return NLMSG_HDR.pack(16 + len(self.payload), self.kind, flags, sequence, 0) + self.payload


def messages(data: bytes) -> Iterator[Message]:
    """Yield the messages of one datagram. Raises `ValueError` if malformed."""
    at, size = 0, len(data)
    unpack = NLMSG_HDR.unpack_from
    while at + 16 <= size:
        length, kind, flags, sequence, _ = unpack(data, at)
        if length < 16 or at + length > size:
            raise ValueError(f"a netlink message of {length} bytes where {size - at} are left")
        yield Message(kind, flags, sequence, at + 16, at + length)
        at += length + 3 & ~3


def fixed(layout: struct.Struct, data: bytes, start: int, end: int) -> tuple[int, ...]:
    """Decode the fixed fields at the start of a payload. Raises `ValueError` if it is too short."""
    if end - start < layout.size:
        raise ValueError(f"a netlink payload of {end - start} bytes where {layout.size} are the least")
    return layout.unpack_from(data, start)


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute, padded to a multiple of 4 bytes."""
    return NLATTR.pack(4 + len(value), kind) + value + bytes(-len(value) & 3)


def attributes(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """Decode attributes, by type; the last wins if one is repeated. Raises `ValueError`."""
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
    """Decode an unsigned integer attribute of any size; 0 if absent."""
    return 0 if value is None else int.from_bytes(value, _ORDER)


_ORDER: Final = "little" if struct.pack("=H", 1)[0] else "big"


class NetlinkRefusal(NamedTuple):
    """The kernel's refusal: an errno and, with NETLINK_EXT_ACK, usually an explanation."""

    code: int
    words: str


def refusal(data: bytes, message: Message) -> NetlinkRefusal | None:
    """Decode the error in an NLMSG_ERROR or NLMSG_DONE; None on success. Raises `ValueError`."""
    if message.end - message.start < 4:
        return None  # NLMSG_DONE of an old kernel
    code = -ERROR.unpack_from(data, message.start)[0]
    if code <= 0:
        return None
    if not message.flags & NLM_F_ACK_TLVS:
        return NetlinkRefusal(code, "")
    at = message.start + 4
    if message.kind == NLMSG_ERROR:  # the request follows, or only its header
        if message.end - at < 16:
            raise ValueError("a netlink error without the request's header")
        length = NLMSG_HDR.unpack_from(data, at)[0]
        at += 16 if message.flags & NLM_F_CAPPED else length + 3 & ~3
    said = attributes(data, at, message.end).get(NLMSGERR_ATTR_MSG, b"")
    return NetlinkRefusal(code, said.rstrip(b"\0").decode(errors="replace"))
