"""The compiled programs: instructions read from an ELF file, with map descriptors inserted. Pure."""

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Image", "MapShape", "Reference", "read_image"]

R_BPF_64_64: Final = 1  # the kernel's Documentation/bpf/llvm_reloc.rst
BPF_PSEUDO_MAP_FD: Final = 1  # linux/bpf.h: the immediate operand of the load is a map's descriptor
_SHAPE: Final = struct.Struct("=5I")  # struct map of fast_path.c
_REGISTERS, _IMMEDIATE = 1, 4  # offsets in struct bpf_insn of linux/bpf.h


@dataclass(frozen=True, slots=True)
class MapShape:
    """The parameters of a map: enum bpf_map_type, bytes per key, bytes per value, entries, BPF_F_* flags."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True, slots=True)
class Reference:
    """An instruction, given by its offset in bytes, that needs the descriptor of this map."""

    offset: int
    map: str


@dataclass(frozen=True, slots=True)
class Image:
    """All programs, by ELF section, and the maps that they share."""

    maps: Mapping[str, MapShape]
    programs: Mapping[str, bytes]
    references: Mapping[str, tuple[Reference, ...]]

    def instructions(self, program: str, descriptors: Mapping[str, int]) -> bytes:
        """Return a program's instructions with the descriptors of its maps inserted."""
        code = bytearray(self.programs[program])
        for reference in self.references[program]:
            at = reference.offset
            code[at + _REGISTERS] = code[at + _REGISTERS] & 0x0F | BPF_PSEUDO_MAP_FD << 4
            struct.pack_into("=i", code, at + _IMMEDIATE, descriptors[reference.map])
        return bytes(code)


def read_image(elf: bytes) -> Image:
    """Parse the object file compiled from fast_path.c. Raises ValueError if it is something else."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile

    try:
        return _image(ELFFile(io.BytesIO(elf)))
    except (ELFError, LookupError, struct.error, AttributeError) as error:
        raise ValueError(f"not a BPF object: {error!r}") from error


def _image(file) -> Image:  # type: ignore[no-untyped-def]
    symbols = list(file.get_section_by_name(".symtab").iter_symbols())
    index = file.get_section_index("maps")
    raw = file.get_section_by_name("maps").data()
    maps = {
        symbol.name: MapShape(*_SHAPE.unpack_from(raw, symbol["st_value"]))
        for symbol in symbols
        if symbol["st_shndx"] == index and symbol.name
    }
    programs, references = {}, {}
    for section in file.iter_sections():
        if section.name.startswith("tcx/"):
            programs[section.name] = section.data()
            found = file.get_section_by_name(f".rel{section.name}")
            references[section.name] = tuple(
                Reference(entry["r_offset"], symbols[entry["r_info_sym"]].name)
                for entry in (found.iter_relocations() if found else ())
            )
    return Image(maps, programs, references)
