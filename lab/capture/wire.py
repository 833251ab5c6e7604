"""What the program on a machine (`lab.capture.inside`) prints: records, one behind the other. Pure."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["HEAD", "Reader", "Record"]

HEAD = struct.Struct(">cBHIIQ")
"""Kind, a packet's flags and place, how many bytes follow, a packet's own length, time.

Kinds: `p` a packet; `i` the place of that number, `f` a fault, `e` a line of etcdctl, `n` something to tell,
`x` the end, each as JSON; `r` all places are there; `t` everything until this time has been told.
"""


@dataclass(frozen=True, slots=True)
class Record:
    """One of them."""

    kind: str
    at: int
    data: bytes = b""
    place: int = 0
    flags: int = 0
    length: int = 0

    @property
    def told(self) -> Any:
        """Its JSON."""
        return json.loads(self.data)


class Reader:
    """Finds records in what comes piece by piece."""

    def __init__(self, added: int = 0) -> None:
        """`added` is what times need to be those of everybody's clock."""
        self._added = added
        self._left = b""

    def read(self, data: bytes) -> Iterator[Record]:
        """Those that are whole now."""
        data, at = self._left + data, 0
        while len(data) - at >= HEAD.size:
            kind, flags, place, size, length, when = HEAD.unpack_from(data, at)
            end = at + HEAD.size + size
            if len(data) < end:
                break
            when += self._added if when else 0  # without a time there is none
            yield Record(kind.decode("latin-1"), when, data[at + HEAD.size : end], place, flags, length)
            at = end
        self._left = data[at:]
