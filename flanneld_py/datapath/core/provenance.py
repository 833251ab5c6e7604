"""Whether a compiled core is whole, and of the source beside it: asked before anything of it is loaded."""

import hashlib
import sys
from struct import Struct, calcsize
from typing import Final

__all__ = ["MARK", "unfit"]

MARK: Final = "core.c sha256:"
"""What stands in the library before the digest of its source (`core_source` of core.c)."""

_WORD: Final = calcsize("P")
_IDENTITY: Final = bytes((*b"\x7fELF", {4: 1, 8: 2}[_WORD], {"little": 1, "big": 2}[sys.byteorder]))
"""ELFMAG, EI_CLASS and EI_DATA of elf.h, as they are on this machine."""

_HEADER: Final = Struct("@16s2HI3NI6H")
"""Elf32_Ehdr or Elf64_Ehdr of elf.h, whichever is this machine's."""


def unfit(library: bytes, source: bytes) -> str:
    """Say what keeps this library from being loaded, as what follows its name; empty if nothing does.

    Loading one whose end is missing would end the process, by SIGBUS.
    """
    if not library.startswith(_IDENTITY):
        return "is no library (ELF) for this machine"
    wanted = _HEADER.size
    if len(library) >= wanted:
        *_, sections, _, _, _, _, size, number, _ = _HEADER.unpack_from(library)
        wanted = max(wanted, sections + size * number)  # the section headers, which linkers put last
    if len(library) < wanted:
        return f"is cut short: it has {len(library)} of {wanted} bytes"
    if (MARK + hashlib.sha256(source).hexdigest()).encode() not in library:
        return (
            "is compiled from another core.c than the one beside it (in a clone tools/core compiles it anew)"
        )
    return ""
