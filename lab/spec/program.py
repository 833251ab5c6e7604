"""A custom flanneld for the nodes: any program that can replace /usr/bin/flanneld."""

import struct
from pathlib import Path

from lab.errors import Unfit
from lab.spec import source
from lab.spec.source import Source
from lab.validation import Model

__all__ = [
    "ANY",
    "Flanneld",
    "Program",
    "examine",
    "program_bytes",
    "read_program",
]

ANY = "any"
"""The architecture of a script."""

EM = {62: "amd64", 183: "arm64", 40: "arm", 21: "ppc64el", 22: "s390x", 243: "riscv64", 3: "i386"}
"""EM_* of linux/elf-em.h -> the architecture's name in Debian and Docker."""

ET_EXEC, ET_DYN = 2, 3
"""linux/elf.h: executables; the second is a position-independent program, or a library."""


class Program(Source):
    """A program named in the lab file, as it was when the lab file was read."""

    architecture: str
    """The architecture's name in Debian; ANY for a script."""


class Flanneld(Model):
    """What runs as flanneld on a minion."""

    program: Program | None = None
    """None: flanneld_py, from next to the lab's own package."""
    options: tuple[str, ...] = ()
    """Options that this program needs in addition to the lab's."""


def examine(path: Path, data: bytes) -> Program:
    """Identify a program from its content, read from `path`. Raises `ValueError`."""
    if data.startswith(b"#!"):
        architecture = ANY
    elif data.startswith(b"\x7fELF") and len(data) >= 20:
        # e_type and e_machine are at the same offset in 32 and 64 bits; EI_DATA gives the byte order.
        kind, machine = struct.unpack_from(">HH" if data[5] == 2 else "<HH", data, 16)
        if kind not in (ET_EXEC, ET_DYN):
            raise ValueError(f"{path} is an ELF file but not executable (e_type {kind})")
        architecture = EM.get(machine, f"ELF machine {machine}")
    else:
        raise ValueError(
            f"{path} is neither an ELF program nor a script that begins with #!; it begins with {data[:8]!r}"
        )
    return Program(path=str(path), digest=source.digest_of(data), architecture=architecture)


def read_program(path: Path) -> Program:
    """Read the program in this file, which a node must be able to run. Raises `ValueError`."""
    absolute, data = source.read(path)
    return examine(Path(absolute), data)


def program_bytes(program: Program, engine_arch: str) -> bytes:
    """Return the program's content, for nodes of this architecture (Debian's name). Raises `Unfit`."""
    if program.architecture not in (ANY, engine_arch):
        raise Unfit(
            f"{program.path} is for {program.architecture}, and the engine's machines are {engine_arch}",
            hint=f"Name a flanneld that was built for {engine_arch}.",
        )
    return source.content(program)
