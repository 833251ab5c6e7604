"""bpf(2), as much of it as the fast path needs: maps, programs, tcx links. Numbers are linux/bpf.h's."""

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

# The first fields of union bpf_attr, for each command; what is not given is 0.
_MAP_CREATE: Final = struct.Struct("=IIIII")  # map_type, key_size, value_size, max_entries, map_flags
_ELEMENT: Final = struct.Struct("=I4xQQQ")  # map_fd, key, value, flags
_BATCH: Final = struct.Struct("=QQQQIIQQ")  # in_batch, out_batch, keys, values, count, map_fd, two flags
# prog_type, insn_cnt, insns, license, log_level, log_size, log_buf
_PROG_LOAD: Final = struct.Struct("=IIQQIIQ")
_LINK_CREATE: Final = struct.Struct("=IIII32x")  # prog_fd, target_ifindex, attach_type, flags

AT_ONCE: Final = 1024
"""Entries that one call reads. It must take a whole bucket of a hash table, of which each has a few."""
_OBJECT_INFO: Final = struct.Struct("=IIQ")  # bpf_fd, info_len, info

# struct bpf_link_info: type, id, prog_id, and of tcx: ifindex, attach_type
_LINK_INFO: Final = struct.Struct("=III4xII")

LOG_SIZE: Final = 1 << 20
INSTRUCTION: Final = 8  # bytes

_libc = ctypes.CDLL(None, use_errno=True)


class Rejected(OSError):
    """The kernel does not take a program; `reason` is the last that its verifier says of it."""

    def __init__(self, error: OSError, log: str) -> None:
        super().__init__(error.errno, error.strerror)
        said = [line for line in log.splitlines() if line and not line.startswith("processed ")]
        self.reason = said[-1] if said else "without a word"


def _bpf(command: int, attr: bytes) -> int:
    """Its result, a new descriptor for some commands. Raises OSError; ENOSYS on an unknown architecture."""
    return _call(command, ctypes.create_string_buffer(attr, len(attr)))


def _call(command: int, attr: "ctypes.Array[ctypes.c_char]") -> int:
    """The same, where the kernel answers in `attr` as well."""
    number = NR_BPF.get(platform.machine(), -1)
    result: int = _libc.syscall(number, command, attr, len(attr))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _address(buffer: "ctypes.Array[ctypes.c_char]") -> int:
    return ctypes.addressof(buffer)


class Map:
    """A map of this shape; keys and values are bytes of its sizes. Methods raise OSError."""

    def __init__(self, shape: MapShape) -> None:
        self._shape = shape
        self._copies = _possible_cpus() if shape.kind in PER_CPU else 1
        # The kernel rounds what is there for each CPU up.
        self._step = -(-shape.value_size // 8) * 8 if shape.kind in PER_CPU else shape.value_size
        self.fd = _bpf(BPF_MAP_CREATE, _MAP_CREATE.pack(*astuple(shape)))

    def put(self, key: bytes, value: bytes) -> None:
        """Write; of a map for each CPU, the same value for all."""
        room = value.ljust(self._step, b"\0") * self._copies
        self._element(BPF_MAP_UPDATE_ELEM, key, ctypes.create_string_buffer(room, len(room)))

    def remove(self, key: bytes) -> None:
        """Forget a key; nothing happens where there is none."""
        try:
            self._element(BPF_MAP_DELETE_ELEM, key, None)
        except FileNotFoundError:
            return

    def get(self, key: bytes) -> list[bytes]:
        """The value, one for each CPU of such a map; empty where there is none."""
        value = ctypes.create_string_buffer(self._step * self._copies)
        try:
            self._element(BPF_MAP_LOOKUP_ELEM, key, value)
        except FileNotFoundError:
            return []
        return self._values(value.raw)

    def take(self, key: bytes) -> list[bytes]:
        """Forget a key; its value as from `get`, to the last that was written."""
        value = ctypes.create_string_buffer(self._step * self._copies)
        try:
            self._element(BPF_MAP_LOOKUP_AND_DELETE_ELEM, key, value)
        except FileNotFoundError:
            return []
        return self._values(value.raw)

    def reader(self) -> "MapReader":
        """What reads the whole map, also when this is closed meanwhile."""
        return MapReader(os.dup(self.fd), self._shape.key_size, self._step * self._copies, self._values)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)

    def _values(self, raw: bytes) -> list[bytes]:
        """One for each CPU of such a map."""
        size = self._shape.value_size
        return [raw[at : at + size] for at in range(0, len(raw), self._step)]

    def _element(self, command: int, key: bytes, value: "ctypes.Array[ctypes.c_char] | None") -> None:
        # What a command does not use must be 0.
        held = ctypes.create_string_buffer(key, len(key))
        place = 0 if value is None else _address(value)
        _bpf(command, _ELEMENT.pack(self.fd, _address(held), place, 0))


class MapReader:
    """Reads a whole map by a descriptor of its own: for any thread, whatever others do to the map.

    Keys have 4 bytes at least. Methods raise OSError.
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
        """Every key with its value, as from `Map.get`; one that comes or goes meanwhile may be missing."""
        keys = ctypes.create_string_buffer(self._key_size * AT_ONCE)
        values = ctypes.create_string_buffer(self._room * AT_ONCE)
        place = ctypes.create_string_buffer(self._key_size)  # where to go on, as the kernel has it
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
        """Read the next entries; how many there are, and whether more may follow."""
        told = (start, _address(place), _address(keys), _address(values), AT_ONCE, self._descriptor, 0, 0)
        attr = ctypes.create_string_buffer(_BATCH.pack(*told), _BATCH.size)
        try:
            _call(BPF_MAP_LOOKUP_BATCH, attr)
        except FileNotFoundError:  # these are the last
            more = False
        else:
            more = True
        count: int = _BATCH.unpack(attr.raw)[4]
        return count, more


def load_program(instructions: bytes, license_: str) -> int:
    """The descriptor of a program for tcx. Raises `Rejected`."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    words = ctypes.create_string_buffer(license_.encode())
    count = len(instructions) // INSTRUCTION

    def attempt(log: "ctypes.Array[ctypes.c_char] | None") -> int:
        told = (0, 0, 0) if log is None else (1, len(log), _address(log))
        attr = _PROG_LOAD.pack(BPF_PROG_TYPE_SCHED_CLS, count, _address(code), _address(words), *told)
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
    """Have a program see an interface's packets, until the descriptor is closed. Raises OSError."""
    return _bpf(BPF_LINK_CREATE, _LINK_CREATE.pack(program, ifindex, direction, 0))


def attached_to(link: int) -> int:
    """The index of the interface whose packets the program of this link sees; 0: of none any more."""
    room = ctypes.create_string_buffer(_LINK_INFO.size)
    _bpf(BPF_OBJ_GET_INFO_BY_FD, _OBJECT_INFO.pack(link, len(room), _address(room)))
    index: int = _LINK_INFO.unpack(room.raw)[3]
    return index


def _possible_cpus() -> int:
    """How many values a map for each CPU has: `0-3,8` of the kernel's list counts to 9."""
    text = Path("/sys/devices/system/cpu/possible").read_text()
    return int(text.strip().replace(",", "-").split("-")[-1]) + 1
