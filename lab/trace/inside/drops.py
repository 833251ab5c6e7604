"""Why the kernel drops marked packets, by its own reasons: a BPF program at the tracepoint skb:kfree_skb.

It sees the packets of the whole kernel, in whatever network namespace; one machine of those that share a
kernel is enough. What it is made of ends with us.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.bpf.call import bpf
from lab.trace.inside.btf import Types
from lab.trace.inside.drop_program import LICENCE, RECORD, Offsets, program

__all__ = ["DropTap"]

BTF = Path("/sys/kernel/btf/vmlinux")

# linux/bpf.h.
BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_RAW_TRACEPOINT_OPEN, BPF_MAP_LOOKUP_AND_DELETE_ELEM = 0, 5, 17, 21
BPF_MAP_TYPE_QUEUE, BPF_PROG_TYPE_RAW_TRACEPOINT = 22, 17

MOST = 4096
"""Packets that are kept until we are asked."""

PREFIX = "SKB_DROP_REASON_"  # include/net/dropreason-core.h


class DropTap:
    """A program that is attached. Raises `OSError`, or `ValueError` where the kernel is another one."""

    def __init__(self, values: Iterable[int], offsets: Sequence[int]) -> None:
        types = Types(BTF.read_bytes())
        self._reasons = types.values("skb_drop_reason")
        places = Offsets(
            head=types.offset("sk_buff", "head"),
            network_header=types.offset("sk_buff", "network_header"),
            dev=types.offset("sk_buff", "dev"),
            net=types.offset("net_device", "nd_net", "net"),
            number=types.offset("net", "ns", "inum"),
        )
        self._open: list[int] = []
        try:
            # union bpf_attr, as of each command.
            self._queue = self._made(
                BPF_MAP_CREATE, struct.pack("=IIII", BPF_MAP_TYPE_QUEUE, 0, RECORD, MOST)
            )
            code = program(places, values, offsets, self._queue)
            instructions = ctypes.create_string_buffer(code, len(code))
            licence = ctypes.create_string_buffer(LICENCE.encode())
            loaded = self._made(
                BPF_PROG_LOAD,
                struct.pack(
                    "=IIQQ", BPF_PROG_TYPE_RAW_TRACEPOINT, len(code) // 8, ctypes.addressof(instructions),
                    ctypes.addressof(licence),
                ) + bytes(24),
            )  # fmt: skip
            name = ctypes.create_string_buffer(b"kfree_skb")
            self._made(BPF_RAW_TRACEPOINT_OPEN, struct.pack("=QII", ctypes.addressof(name), loaded, 0))
        except OSError:
            self.close()
            raise

    def _made(self, command: int, attributes: bytes) -> int:
        descriptor = bpf(command, attributes)
        self._open.append(descriptor)
        return descriptor

    def dropped(self) -> Iterator[dict[str, Any]]:
        """What was dropped so far, in its order: the packet, the reason, its namespace's number or 0."""
        value = ctypes.create_string_buffer(RECORD)
        attributes = struct.pack("=IIQQQ", self._queue, 0, 0, ctypes.addressof(value), 0)
        while True:
            try:
                bpf(BPF_MAP_LOOKUP_AND_DELETE_ELEM, attributes)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return
                raise
            reason, number = struct.unpack_from("=II", value)
            name = self._reasons.get(reason, f"reason {reason}").removeprefix(PREFIX)
            yield {"reason": name, "namespace": number, "data": value.raw[8:].hex()}

    def close(self) -> None:
        """End it."""
        for descriptor in reversed(self._open):
            os.close(descriptor)
        self._open = []
