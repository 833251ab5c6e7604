# SPDX-License-Identifier: MIT OR GPL-2.0-only
"""The BPF program that sees each packet that the kernel drops, and keeps those with a mark. Pure.

It runs at the tracepoint skb:kfree_skb, whose arguments are the packet, who drops it, and the reason
(include/trace/events/skb.h). The functions that it calls are for programs under a licence compatible with the
GPL alone, hence this file's own.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.bpf.code import R0, R1, R2, R3, R6, R7, R8, R10, as_loaded, instruction

__all__ = ["LICENCE", "RECORD", "SNAP", "Offsets", "program"]

LICENCE = "Dual MIT/GPL"
"""In the kernel's terms (license_is_gpl_compatible of linux/license.h)."""

SNAP = 176
"""Bytes that are kept of a packet, from its network header on."""

RECORD = 8 + SNAP
"""The reason, the number of its device's network namespace or 0, and the packet."""

# linux/bpf.h and linux/bpf_common.h: opcodes.
BPF_LDX_MEM_H, BPF_LDX_MEM_W, BPF_LDX_MEM_DW = 0x69, 0x61, 0x79
BPF_STX_MEM_W = 0x63
BPF_ST_MEM_W = 0x62
BPF_LD_IMM64 = 0x18
BPF_PSEUDO_MAP_FD = 1
BPF_ALU64_MOV_K, BPF_ALU64_MOV_X, BPF_ALU64_ADD_K, BPF_ALU64_ADD_X = 0xB7, 0xBF, 0x07, 0x0F
BPF_JMP_JA, BPF_JMP_JNE_K, BPF_JMP_JEQ_K = 0x05, 0x55, 0x15
BPF_CALL, BPF_EXIT = 0x85, 0x95

MAP_PUSH_ELEM, PROBE_READ_KERNEL = 87, 113
"""Functions, by number (enum bpf_func_id)."""

SKB, REASON = 0, 16
"""Where the tracepoint's arguments are."""

WORD, HALF, HEAD = -8, -16, -16 - RECORD
"""Places on the stack; the last one is the record's."""


@dataclass(frozen=True, slots=True)
class Offsets:
    """Where things are in the running kernel's structures."""

    head: int
    """Of struct sk_buff: where its bytes begin."""
    network_header: int
    """Of struct sk_buff: how far behind that its network header is."""
    dev: int
    """Of struct sk_buff."""
    net: int
    """Of struct net_device: its network namespace."""
    number: int
    """Of struct net: the number by which /proc names it."""


def program(offsets: Offsets, values: Iterable[int], places: Sequence[int], queue: int) -> bytes:
    """Keep, in the map of this descriptor, packets with one of these words at one of these places."""
    keep = [
        # The reason.
        instruction(BPF_LDX_MEM_DW, R1, R6, REASON),
        instruction(BPF_STX_MEM_W, R10, R1, HEAD),
        # skb->dev->nd_net.net->ns.inum. A packet may have no device; what cannot be read is 0.
        *_read(WORD, 8, R7, offsets.dev),
        instruction(BPF_LDX_MEM_DW, R8, R10, WORD),
        *_read(WORD, 8, R8, offsets.net),
        instruction(BPF_LDX_MEM_DW, R8, R10, WORD),
        *_read(WORD, 4, R8, offsets.number),
        instruction(BPF_LDX_MEM_W, R1, R10, WORD),
        instruction(BPF_STX_MEM_W, R10, R1, HEAD + 4),
        instruction(BPF_LD_IMM64, R1, BPF_PSEUDO_MAP_FD, immediate=queue),
        instruction(0),
        instruction(BPF_ALU64_MOV_X, R2, R10),
        instruction(BPF_ALU64_ADD_K, R2, immediate=HEAD),
        instruction(BPF_ALU64_MOV_K, R3, immediate=0),
        instruction(BPF_CALL, immediate=MAP_PUSH_ELEM),
    ]
    end = [instruction(BPF_ALU64_MOV_K, R0, immediate=0), instruction(BPF_EXIT)]
    tests = _tests(values, places)
    return b"".join(
        [
            instruction(BPF_ALU64_MOV_X, R6, R1),
            instruction(BPF_LDX_MEM_DW, R7, R6, SKB),
            *_read(WORD, 8, R7, offsets.head),
            *_read(HALF, 2, R7, offsets.network_header),
            instruction(BPF_LDX_MEM_DW, R8, R10, WORD),
            instruction(BPF_LDX_MEM_H, R1, R10, HALF),
            instruction(BPF_ALU64_ADD_X, R8, R1),
            *_read(HEAD + 8, SNAP, R8, 0),
            *tests,
            instruction(BPF_JMP_JA, offset=len(keep)),
            *keep,
            *end,
        ]
    )


def _read(to: int, size: int, base: int, offset: int) -> Sequence[bytes]:
    """Copy from the kernel's memory to the stack: zeros where there is nothing to be read."""
    return [
        instruction(BPF_ALU64_MOV_X, R1, R10),
        instruction(BPF_ALU64_ADD_K, R1, immediate=to),
        instruction(BPF_ALU64_MOV_K, R2, immediate=size),
        instruction(BPF_ALU64_MOV_X, R3, base),
        instruction(BPF_ALU64_ADD_K, R3, immediate=offset),
        instruction(BPF_CALL, immediate=PROBE_READ_KERNEL),
    ]


def _tests(values: Iterable[int], places: Sequence[int]) -> Sequence[bytes]:
    """Jump behind the instruction after these, if one of the words is there.

    The stack must be read at multiples of what is read: places are even, and not all are multiples of four.
    """
    halves = [struct.unpack("!HH", struct.pack("!I", value)) for value in values]
    pairs = [(HEAD + 8 + at, *each) for at in places if at + 4 <= SNAP for each in halves]
    tests = []
    for number, (at, first, second) in enumerate(pairs):
        behind = 4 * (len(pairs) - number - 1)
        tests += [
            instruction(BPF_LDX_MEM_H, R1, R10, at),
            instruction(BPF_JMP_JNE_K, R1, offset=2, immediate=as_loaded(first, 2)),
            instruction(BPF_LDX_MEM_H, R1, R10, at + 2),
            instruction(BPF_JMP_JEQ_K, R1, offset=behind + 1, immediate=as_loaded(second, 2)),
        ]
    return tests
