"""Blocks of a pcapng file, as draft-ietf-opsawg-pcapng describes them. Pure.

Everything is little-endian, and times are in nanoseconds.
"""

import struct
from collections.abc import Iterable, Sequence

from lab.capture.model import Counts, Packet, Place

__all__ = ["interface", "packet", "section", "statistics"]

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
"""Block types."""

BYTE_ORDER, VERSION, UNKNOWN_LENGTH = 0x1A2B3C4D, (1, 0), 0xFFFF_FFFF_FFFF_FFFF

END_OF_OPTIONS, COMMENT = 0, 1
SHB_OS, SHB_USERAPPL = 3, 4
IF_NAME, IF_DESCRIPTION, IF_TSRESOL = 2, 3, 9
EPB_FLAGS = 2
ISB_STARTTIME, ISB_ENDTIME, ISB_FILTERACCEPT, ISB_OSDROP = 2, 3, 6, 7

NANOSECONDS = 9
"""if_tsresol: a negative power of ten."""

LONGEST = 0xFFFF
"""Bytes of an option's value."""

Option = tuple[int, bytes]


def section(program: str, comments: Iterable[str] = ()) -> bytes:
    """A file begins with it."""
    body = struct.pack("<IHHQ", BYTE_ORDER, *VERSION, UNKNOWN_LENGTH)
    options = [*_comments(comments), (SHB_OS, b"Linux"), (SHB_USERAPPL, _text(program))]
    return _block(SECTION, body, options)


def interface(place: Place, snaplen: int) -> bytes:
    """A place; its number is how many came before it in the file."""
    options = [(IF_NAME, _text(place.name)), (IF_TSRESOL, bytes([NANOSECONDS]))]
    if place.description:
        options.insert(1, (IF_DESCRIPTION, _text(place.description)))
    return _block(INTERFACE, struct.pack("<HHI", place.link_type, 0, snaplen), options)


def packet(number: int, found: Packet, comments: Sequence[str] = ()) -> bytes:
    """A packet that the place of this number has seen."""
    head = struct.pack("<IIII", number, *_time(found.at), len(found.data))
    body = b"".join((head, struct.pack("<I", found.length), _padded(found.data)))
    options = [(EPB_FLAGS, struct.pack("<I", found.flags))] if found.flags else []
    return _block(PACKET, body, [*_comments(comments), *options])


def statistics(number: int, began: int, ended: int, counts: Counts, comments: Sequence[str] = ()) -> bytes:
    """What the place of this number came to, between these times."""
    body = struct.pack("<III", number, *_time(ended))
    options = [
        *_comments(comments),
        (ISB_STARTTIME, struct.pack("<II", *_time(began))),
        (ISB_ENDTIME, struct.pack("<II", *_time(ended))),
        (ISB_FILTERACCEPT, struct.pack("<Q", counts.seen)),
        (ISB_OSDROP, struct.pack("<Q", counts.dropped)),
    ]
    return _block(STATISTICS, body, options)


def _block(kind: int, body: bytes, options: Sequence[Option]) -> bytes:
    tail = b"".join(map(_option, [*options, (END_OF_OPTIONS, b"")])) if options else b""
    length = struct.pack("<I", len(body) + len(tail) + 12)
    return b"".join((struct.pack("<I", kind), length, body, tail, length))


def _option(option: Option) -> bytes:
    code, value = option
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _comments(comments: Iterable[str]) -> list[Option]:
    return [(COMMENT, _text(comment)) for comment in comments]


def _text(text: str) -> bytes:
    """UTF-8; what an option has no room for is cut off, between two characters."""
    return text.encode(errors="replace")[:LONGEST].decode(errors="ignore").encode()


def _padded(data: bytes) -> bytes:
    """To a multiple of four bytes."""
    return data + bytes(-len(data) % 4)


def _time(at: int) -> tuple[int, int]:
    """Its upper and its lower half."""
    return at >> 32, at & 0xFFFF_FFFF
