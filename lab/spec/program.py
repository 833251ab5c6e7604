"""A flanneld of one's own for the machines: any program that can stand in for /usr/bin/flanneld."""

import hashlib
import struct
from pathlib import Path

from lab.errors import Unfit
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
"""EM_* of linux/elf-em.h -> Debian's and Docker's name of the architecture."""

ET_EXEC, ET_DYN = 2, 3
"""linux/elf.h: what can be run; the second one is a position-independent program, or a library."""


class Program(Model):
    """A program as the lab file names it, and as it was when the lab file was read."""

    path: str
    """Absolute, on the machine that runs `lab`."""
    digest: str
    """SHA-256 of its bytes, in hexadecimal digits."""
    architecture: str
    """Debian's name of it; ANY for a script."""


class Flanneld(Model):
    """What runs as flanneld on a minion."""

    program: Program | None = None
    """None: flanneld_py, from beside the lab."""
    options: tuple[str, ...] = ()
    """Those that this one needs beside the lab's."""


def examine(path: Path, data: bytes) -> Program:
    """What these bytes, read from `path`, are as a program. Raises `ValueError`."""
    if data.startswith(b"#!"):
        architecture = ANY
    elif data.startswith(b"\x7fELF") and len(data) >= 20:
        # e_type and e_machine stand at the same place in 32 and 64 bits; EI_DATA says the byte order.
        kind, machine = struct.unpack_from(">HH" if data[5] == 2 else "<HH", data, 16)
        if kind not in (ET_EXEC, ET_DYN):
            raise ValueError(f"{path} is an ELF file that cannot be run (e_type {kind})")
        architecture = EM.get(machine, f"ELF machine {machine}")
    else:
        raise ValueError(
            f"{path} is neither an ELF program nor a script that begins with #!; it begins with {data[:8]!r}"
        )
    return Program(path=str(path), digest=hashlib.sha256(data).hexdigest(), architecture=architecture)


def read_program(path: Path) -> Program:
    """The program in this file, which must be one that a machine could run. Raises `ValueError`."""
    absolute = path.resolve()
    if absolute.exists() and not absolute.is_file() and not absolute.is_dir():
        raise ValueError(f"{absolute} cannot be read: it is no regular file")
    try:
        return examine(absolute, absolute.read_bytes())
    except OSError as error:
        raise ValueError(f"{absolute} cannot be read: {error.strerror}") from error


def program_bytes(program: Program, engine_arch: str) -> bytes:
    """The program itself, for machines of this architecture (Debian's name). Raises `Unfit`."""
    if program.architecture not in (ANY, engine_arch):
        raise Unfit(
            f"{program.path} is for {program.architecture}, and the engine's machines are {engine_arch}",
            hint=f"Name a flanneld that was built for {engine_arch}.",
        )
    try:
        data = Path(program.path).read_bytes()
    except OSError as error:
        raise Unfit(f"{program.path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != program.digest:
        raise Unfit(
            f"{program.path} has changed since the lab file was read", hint="Once it is whole: lab up again."
        )
    return data
