"""The compiled core of the packet loop with offloads: what `segment` and `coalesce` do, and a `pump`.

It is optional, as the fast path is: where it is not compiled, or for another architecture, Python does its
work. It has the common cases, and leaves all others, and every error, to Python.
"""

import ctypes
import logging
import platform
from array import array
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

from flanneld_py.datapath import coalesce, segment, vnet
from flanneld_py.datapath.coalesce import Run
from flanneld_py.datapath.core import provenance
from flanneld_py.datapath.core.pump import Descriptors, Memory, Pump
from flanneld_py.datapath.vnet import VnetHeader

__all__ = ["Core", "load"]

logger = logging.getLogger(__name__)

WITHOUT: Final = "The packet loop works without its compiled core"

LEFT: Final = -1
"""What the functions of core.c answer for what they leave to Python."""

LONGEST_HEADERS: Final = 120  # bytes: IPv4's and TCP's with all options
SPACE: Final = 1 << 19  # bytes of segments, at least those of one packet
TRAINS: Final = 1 << 19  # bytes of trains that are joined at once
MOST_RUNS: Final = 1024

_RUN: Final = Struct("=5I")  # struct run: first, packets, begin, end, bytes
_U32: Final = Struct("=I")


class Core:
    """The library's functions, and their memory. Not for several threads at a time."""

    def __init__(self, path: str) -> None:
        library = ctypes.PyDLL(path)
        self._library = ctypes.CDLL(path)  # whose functions run without the interpreter's lock
        self._segments = library.core_segments
        self._segments.restype = ctypes.c_int64
        self._segments.argtypes = (
            *(ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p),
        )
        self._runs = library.core_runs
        self._runs.restype = ctypes.c_int64
        self._runs.argtypes = (
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint32),
            *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t),
        )
        self._space, self._used = memoryview(bytearray(SPACE)), 0
        self._place = _address(self._space)
        self._each = bytearray(_U32.size)
        self._found = memoryview(bytearray(MOST_RUNS * _RUN.size))
        self._room = memoryview(bytearray(TRAINS + MOST_RUNS * vnet.SIZE))
        self._places = tuple(map(_address, (memoryview(self._each), self._found, self._room)))

    def segments(self, header: VnetHeader, packet: memoryview) -> tuple[memoryview, int]:
        """Do what `segment.segments` does."""
        size = len(packet)
        room = size
        if header.kind != vnet.NONE:
            room += size // max(1, header.gso_size) * LONGEST_HEADERS
        if packet.readonly or not 0 < size <= room <= SPACE:
            return segment.segments(header, packet)
        if self._used + room > SPACE:
            self._renew()
        begin = self._used
        place = self._place + begin
        length = self._segments(header.pack(), _address(packet), size, place, room, self._places[0])
        if length == LEFT:
            return segment.segments(header, packet)
        self._used = begin + length
        return self._space[begin : self._used], _U32.unpack(self._each)[0]

    def pump(
        self,
        descriptors: Descriptors,
        header: bytearray,
        packet: memoryview,
        trains: memoryview,
        changes: "array[int]",
        pauses: tuple[float, float],
    ) -> Pump:
        """Make a pump that works in this memory, and in the core's; for the rest see `Pump`."""
        _, runs, room = self._places
        memory = Memory(
            _address(memoryview(header)),
            _address(packet),
            (_address(trains), len(trains)),
            (runs, MOST_RUNS),
            (room, len(self._room)),
        )
        return Pump(self._library, descriptors, memory, changes, pauses)

    def forget(self) -> None:
        """Use the memory anew of what `segments` has returned so far: nobody has it any more."""
        self._used = 0

    def _renew(self) -> None:
        """Take other memory: what is in use of the old is still somebody's, who will free it."""
        self._space, self._used = memoryview(bytearray(SPACE)), 0
        self._place = _address(self._space)

    def runs(self, train: memoryview, size: int) -> Iterator[Run]:
        """Do what `coalesce.runs` does. What is returned is valid until the next call."""
        length = len(train)
        if train.readonly or not 0 < size < length:
            return coalesce.runs(train, size)
        _, found, room = self._places
        count = self._runs(_address(train), length, size, found, MOST_RUNS, room, len(self._room))
        if count == LEFT:
            return coalesce.runs(train, size)
        return self._read(train, size, count)

    def _read(self, train: memoryview, size: int, count: int) -> Iterator[Run]:
        room, headers = self._room, vnet.SIZE
        for first, packets, begin, end, total in _RUN.iter_unpack(self._found[: count * _RUN.size]):
            packet = begin + headers
            yield Run(train[first : first + size], room[begin:packet], (room[packet:end],), packets, total)


def _address(data: memoryview) -> int:
    """Return the address of at least one byte of writable memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


def load() -> Core | None:
    """Load the library; None, and a line in the log, if it is not there or cannot be used here."""
    path = Path(__file__).with_name(f"core.{platform.machine()}.so")
    if not path.exists():
        logger.info("%s: there is no %s; it is compiled where flanneld is built", WITHOUT, path.name)
        return None
    found = _opened(path)
    if isinstance(found, Core):
        return found
    logger.warning("%s: %s %s", WITHOUT, path.name, found)
    return None


def _opened(path: Path) -> Core | str:
    """Open this library, or say why not."""
    source = path.with_name("core.c")  # beside it wherever flanneld is: nothing else says what it is to be
    try:
        problem = provenance.unfit(path.read_bytes(), source.read_bytes())
    except OSError as error:
        return f"cannot be compared with {source.name} beside it: {error}"
    if problem:
        return problem
    try:
        core, fits = Core(str(path)), Pump.fits(ctypes.CDLL(str(path)))
    except (OSError, AttributeError) as error:  # in glibc's words one for another processor is not there
        return f"is for another machine or C library, or damaged: {error}"
    return core if fits else "has its structures laid out in another way than here"
