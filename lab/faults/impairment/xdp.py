"""The XDP program that takes incoming packets before anybody else sees them, as BPF instructions. Pure.

A queueing discipline's filters come too late for that: what udp's fast path receives, its tcx program has
taken by then. Generic XDP comes before tcx, and the kernel does not show it what a filter has put back
(`skb->redirected`), so that no packet goes round in a circle.
"""

import hashlib
from collections.abc import Iterable

from lab.bpf.code import R0, R1, R2, R3, R4, R5, as_loaded, instruction
from lab.faults.impairment.selector import Selector

__all__ = ["NAME_PREFIX", "program", "program_name"]

NAME_PREFIX = "imp_"
"""By which the kernel's list shows that a program is ours."""

ETH_HLEN = 14  # linux/if_ether.h
ETHERTYPE_AT = 12

# linux/bpf.h and linux/bpf_common.h: opcodes.
BPF_LDX_MEM_W, BPF_LDX_MEM_H = 0x61, 0x69
BPF_ALU64_MOV_K, BPF_ALU64_MOV_X, BPF_ALU64_ADD_K = 0xB7, 0xBF, 0x07
BPF_ALU_AND_K = 0x54
BPF_JMP_JGT_X = 0x2D
BPF_JMP32_JNE_K = 0x56
BPF_CALL, BPF_EXIT = 0x85, 0x95

BPF_FUNC_REDIRECT = 23  # linux/bpf.h: bpf_redirect(ifindex, flags)
XDP_DROP, XDP_PASS = 1, 2  # linux/bpf.h, enum xdp_action

# R1 is the context on entry, R2 then the packet's begin, R3 its end; R4 and R5 are for the moment.

DATA, DATA_END = 0, 4
"""Offsets in struct xdp_md."""


def _test(selector: Selector, action: bytes) -> bytes:
    """`action`, which ends the program, for packets that a selector matches; all others go on."""
    words = [(BPF_LDX_MEM_W, ETH_HLEN + key.offset, key.value, key.mask, 4) for key in selector.keys]
    behind = action
    for load, at, value, mask, size in reversed(
        [(BPF_LDX_MEM_H, ETHERTYPE_AT, selector.ethertype, 0xFFFF, 2), *words]
    ):
        behind = (
            instruction(load, R5, R2, at)
            + instruction(BPF_ALU_AND_K, R5, immediate=as_loaded(mask, size))
            + instruction(BPF_JMP32_JNE_K, R5, offset=len(behind) // 8, immediate=as_loaded(value, size))
            + behind
        )
    longest = max([ETH_HLEN, *(ETH_HLEN + key.offset + 4 for key in selector.keys)])
    return (
        instruction(BPF_ALU64_MOV_X, R4, R2)
        + instruction(BPF_ALU64_ADD_K, R4, immediate=longest)
        + instruction(BPF_JMP_JGT_X, R4, R3, offset=len(behind) // 8)
        + behind
    )


def program(drop: Iterable[Selector], take: Iterable[Selector], ifindex: int) -> bytes:
    """Drop what the first match, move what the others match to a device, and leave everything else."""
    dropped = instruction(BPF_ALU64_MOV_K, R0, immediate=XDP_DROP) + instruction(BPF_EXIT)
    taken = (
        instruction(BPF_ALU64_MOV_K, R1, immediate=ifindex)
        + instruction(BPF_ALU64_MOV_K, R2, immediate=0)
        + instruction(BPF_CALL, immediate=BPF_FUNC_REDIRECT)
        + instruction(BPF_EXIT)
    )
    return b"".join(
        [
            instruction(BPF_LDX_MEM_W, R2, R1, DATA),
            instruction(BPF_LDX_MEM_W, R3, R1, DATA_END),
            *(_test(selector, dropped) for selector in drop),
            *(_test(selector, taken) for selector in take),
            instruction(BPF_ALU64_MOV_K, R0, immediate=XDP_PASS),
            instruction(BPF_EXIT),
        ]
    )


def program_name(code: bytes) -> str:
    """A name that says which program this is: at most 15 characters (BPF_OBJ_NAME_LEN)."""
    return NAME_PREFIX + hashlib.sha256(code).hexdigest()[:8]
