"""The part of bpf(2) that the fast path needs: maps, programs, tcx links. Constants are linux/bpf.h's."""

import ctypes
import os
import platform
import struct
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flanneld_py.datapath.fast_path.image import MapShape

__all__ = ["Map", "MapReader", "Rejected", "attach", "attached_to", "load_program"]

NR_BPF: Final = {"x86_64": 321, "aarch64": 280}  # asm/unistd.h

BPF_MAP_CREATE: Final = 0
BPF_MAP_LOOKUP_ELEM: Final = 1
BPF_MAP_UPDATE_ELEM: Final = 2
BPF_MAP_DELETE_ELEM: Final = 3
BPF_PROG_LOAD: Final = 5
BPF_OBJ_GET_INFO_BY_FD: Final = 15
BPF_MAP_LOOKUP_AND_DELETE_ELEM: Final = 21
BPF_MAP_LOOKUP_BATCH: Final = 24
BPF_LINK_CREATE: Final = 28

BPF_PROG_TYPE_SCHED_CLS: Final = 3
BPF_TCX_INGRESS: Final = 46
BPF_TCX_EGRESS: Final = 47
PER_CPU: Final = frozenset({5, 6})  # BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY

# The first fields of union bpf_attr for each command; the kernel takes omitted ones as 0.
_MAP_CREATE: Final = struct.Struct("=IIIII")  # map_type, key_size, value_size, max_entries, map_flags
_ELEMENT: Final = struct.Struct("=I4xQQQ")  # map_fd, key, value, flags
_BATCH: Final = struct.Struct("=QQQQIIQQ")  # in_batch, out_batch, keys, values, count, map_fd, two flags
# prog_type, insn_cnt, insns, license, log_level, log_size, log_buf
_PROG_LOAD: Final = struct.Struct("=IIQQIIQ")
_LINK_CREATE: Final = struct.Struct("=IIII32x")  # prog_fd, target_ifindex, attach_type, flags

AT_ONCE: Final = 1024
"""Entries read per call. Must be at least the size of a hash bucket, which has only a few."""
_OBJECT_INFO: Final = struct.Struct("=IIQ")  # bpf_fd, info_len, info

# struct bpf_link_info: type, id, prog_id, and for tcx: ifindex, attach_type
_LINK_INFO: Final = struct.Struct("=III4xII")

LOG_SIZE: Final = 1 << 20
INSTRUCTION: Final = 8  # bytes

_libc = ctypes.CDLL(None, use_errno=True)


class Rejected(OSError):
    """The kernel rejected a program; `reason` is the last line of its verifier's log."""

    def __init__(self, error: OSError, log: str) -> None:
        super().__init__(error.errno, error.strerror)
        lines = [line for line in log.splitlines() if line and not line.startswith("processed ")]
        self.reason = lines[-1] if lines else "the verifier gave no reason"


def _bpf(command: int, attr: bytes) -> int:
    """Call bpf(2); return its result, for some commands a new descriptor. Raises OSError.

    The error is ENOSYS on an unknown architecture.
    """
    return _call(command, ctypes.create_string_buffer(attr, len(attr)))


def _call(command: int, attr: "ctypes.Array[ctypes.c_char]") -> int:
    """Call bpf(2) with an `attr` that the kernel also writes its answer to."""
    number = NR_BPF.get(platform.machine(), -1)
    result: int = _libc.syscall(number, command, attr, len(attr))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _address(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    return ctypes.addressof(buffer)


class Map:
    """A BPF map of this shape; keys and values are bytes of its sizes. Methods raise OSError."""

    def __init__(self, shape: MapShape) -> None:
        self._shape = shape
        self._copies = _possible_cpus() if shape.kind in PER_CPU else 1
        # The kernel rounds up the size of each per-CPU value.
        self._step = -(-shape.value_size // 8) * 8 if shape.kind in PER_CPU else shape.value_size
        self.fd = _bpf(BPF_MAP_CREATE, _MAP_CREATE.pack(*astuple(shape)))

    def put(self, key: bytes, value: bytes) -> None:
        """Write a value; in a per-CPU map, the same one for all CPUs."""
        room = value.ljust(self._step, b"\0") * self._copies
        self._element(BPF_MAP_UPDATE_ELEM, key, ctypes.create_string_buffer(room, len(room)))

    def remove(self, key: bytes) -> None:
        """Delete a key, if it exists."""
        try:
            self._element(BPF_MAP_DELETE_ELEM, key, None)
        except FileNotFoundError:
            return

    def get(self, key: bytes) -> list[bytes]:
        """Return the value, or one per CPU for a per-CPU map; empty if the key does not exist."""
        value = ctypes.create_string_buffer(self._step * self._copies)
        try:
            self._element(BPF_MAP_LOOKUP_ELEM, key, value)
        except FileNotFoundError:
            return []
        return self._values(value.raw)

    def take(self, key: bytes) -> list[bytes]:
        """Delete a key and return its final value, as `get` does, without losing concurrent updates."""
        value = ctypes.create_string_buffer(self._step * self._copies)
        try:
            self._element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, value)
        except FileNotFoundError:
            return []
        return self._values(value.raw)

    def reader(self) -> "MapReader":
        """Return a reader of the whole map, which keeps working if this map is closed meanwhile."""
        return MapReader(os.dup(self.fd), self._shape.key_size, self._step * self._copies, self._values)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)

    def _values(self, raw: bytes) -> list[bytes]:
        """Split a raw value into one per CPU, for a per-CPU map."""
        size = self._shape.value_size
        return [raw[at : at + size] for at in range(0, len(raw), self._step)]

    def _element(self, command: int, key: bytes, value: "ctypes.Array[ctypes.c_char] | None") -> None:
        # Fields that a command does not use must be 0.
        held = ctypes.create_string_buffer(key, len(key))
        place = 0 if value is None else _address(value)
        _bpf(command, _ELEMENT.pack(self.fd, _address(held), place, 0))


class MapReader:
    """Reads a whole map through its own descriptor: for any thread, even while others modify the map.

    Keys must have at least 4 bytes. Methods raise OSError.
    """

    def __init__(
        self, descriptor: int, key_size: int, room: int, values: Callable[[bytes], list[bytes]]
    ) -> None:
        self._descriptor = descriptor
        self._key_size = key_size
        self._room = room  # bytes of an entry's value
        self._values = values

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def items(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield every key with its value as from `Map.get`; concurrent changes may be missed."""
        keys = ctypes.create_string_buffer(self._key_size * AT_ONCE)
        values = ctypes.create_string_buffer(self._room * AT_ONCE)
        place = ctypes.create_string_buffer(self._key_size)  # where the kernel says to go on
        start, more = 0, True
        while more:
            count, more = self._batch(start, place, keys, values)
            start = _address(place)
            names, contents = keys.raw, values.raw
            for at in range(count):
                name = names[at * self._key_size : (at + 1) * self._key_size]
                yield name, self._values(contents[at * self._room : (at + 1) * self._room])

    def _batch(
        self,
        start: int,
        place: "ctypes.Array[ctypes.c_char]",
        keys: "ctypes.Array[ctypes.c_char]",
        values: "ctypes.Array[ctypes.c_char]",
    ) -> tuple[int, bool]:
        """Read the next batch; return the number of entries and whether more may follow."""
        fields = (start, _address(place), _address(keys), _address(values), AT_ONCE, self._descriptor, 0, 0)
        attr = ctypes.create_string_buffer(_BATCH.pack(*fields), _BATCH.size)
        try:
            _call(BPF_MAP_LOOKUP_BATCH, attr)
        except FileNotFoundError:  # this batch is the last
            more = False
        else:
            more = True
        count: int = _BATCH.unpack(attr.raw)[4]
        return count, more


def load_program(instructions: bytes, license_: str) -> int:
    """Load a program for tcx and return its descriptor. Raises `Rejected`."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    words = ctypes.create_string_buffer(license_.encode())
    count = len(instructions) // INSTRUCTION

    def attempt(log: "ctypes.Array[ctypes.c_char] | None") -> int:
        log_fields = (0, 0, 0) if log is None else (1, len(log), _address(log))
        attr = _PROG_LOAD.pack(BPF_PROG_TYPE_SCHED_CLS, count, _address(code), _address(words), *log_fields)
        return _bpf(BPF_PROG_LOAD, attr)

    try:
        return attempt(None)
    except OSError as error:
        log = ctypes.create_string_buffer(LOG_SIZE)
        try:
            return attempt(log)
        except OSError:
            raise Rejected(error, log.value.decode(errors="replace")) from None


def attach(program: int, ifindex: int, direction: int) -> int:
    """Attach a program to an interface until the returned descriptor is closed. Raises OSError."""
    return _bpf(BPF_LINK_CREATE, _LINK_CREATE.pack(program, ifindex, direction, 0))


def attached_to(link: int) -> int:
    """Return the index of the interface that the link is attached to; 0 if it no longer is."""
    room = ctypes.create_string_buffer(_LINK_INFO.size)
    _bpf(BPF_OBJ_GET_INFO_BY_FD, _OBJECT_INFO.pack(link, len(room), _address(room)))
    index: int = _LINK_INFO.unpack(room.raw)[3]
    return index


def _possible_cpus() -> int:
    """Number of values in a per-CPU map; the kernel's list `0-3,8` of possible CPUs means 9."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.strip().replace(",", "-").split("-")[-1]) + 1
