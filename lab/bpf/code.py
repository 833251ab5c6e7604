"""Instructions of BPF, as linux/bpf.h and linux/bpf_common.h have them. Pure."""

import struct
import sys

__all__ = ["R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R10", "as_loaded", "instruction"]

R0, R1, R2, R3, R4, R5, R6, R7, R8, _, R10 = range(11)
"""R0 is what a function answers, R1 to R5 what it is given, R6 to R9 outlive it, R10 is the stack's end."""


def instruction(
    code: int, destination: int = 0, source: int = 0, offset: int = 0, immediate: int = 0
) -> bytes:
    """struct bpf_insn: the registers are bit fields, whose order is that of the machine's bytes."""
    first, second = (destination, source) if sys.byteorder == "little" else (source, destination)
    return struct.pack("=BBhI", code, second << 4 | first, offset, immediate & 0xFFFFFFFF)


def as_loaded(value: int, size: int) -> int:
    """A number of the network as a load from a packet has it in a register."""
    return int.from_bytes(value.to_bytes(size, "big"), sys.byteorder)
