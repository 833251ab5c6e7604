"""Where marked packets are seen: one packet socket (packet(7)) a network namespace, for all of its devices.

The kernel drops whatever bears no mark before it reaches us, so a busy machine's packets cost nothing. What
bears one waits in the socket until it is asked for.
"""

import ctypes
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["Tap", "accepting"]

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h.
PACKET_OUTGOING = 4
ETH_P_ALL = 0x0003
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35

BUFFER = 1 << 24
"""Bytes that wait for us: of some hundred packets, seen at a dozen devices each."""

SNAP = 2048
"""Bytes that are kept of a packet."""

# Opcodes of linux/bpf_common.h and linux/filter.h: A = the word at K; if A == K; return K.
BPF_LD_W_ABS, BPF_JEQ, BPF_RET = 0x20, 0x15, 0x06


def accepting(values: Iterable[int], offsets: Iterable[int]) -> list[tuple[int, int, int, int]]:
    """A program of the classic packet filter: packets with one of these words at one of these offsets.

    Offsets count from the network header. They are tried in their order: where a packet is too short for
    one, it is dropped, as it is too short for the rest.
    """
    wanted = list(values)
    program = []
    for offset in sorted(offsets):
        program.append((BPF_LD_W_ABS, 0, 0, offset))
        for value in wanted:
            # To the instruction after the next, unless it is equal.
            program.append((BPF_JEQ, 0, 1, value))
            program.append((BPF_RET, 0, 0, SNAP))
    return [*program, (BPF_RET, 0, 0, 0)]


class Tap:
    """A socket in the calling thread's network namespace."""

    def __init__(self, values: Iterable[int], offsets: Iterable[int]) -> None:
        # SOCK_DGRAM: packets begin with their network header, whatever the device.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        instructions = accepting(values, offsets)
        packed = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
        buffer = ctypes.create_string_buffer(packed)
        program = struct.pack("HL", len(instructions), ctypes.addressof(buffer))  # struct sock_fprog
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setblocking(False)
        for _ in self.seen():  # what came before the filter was in its place
            pass

    def seen(self) -> Iterator[dict[str, Any]]:
        """What has come since it was asked last, in its order."""
        while True:
            try:
                data, extra, _, address = self._socket.recvmsg(SNAP, 64)
            except BlockingIOError:
                return
            at = [struct.unpack("qq", value) for level, kind, value in extra if kind == SO_TIMESTAMPNS]
            yield {
                "device": address[0],
                "way": "out" if address[2] == PACKET_OUTGOING else "in",
                "at": at[0][0] + at[0][1] / 1e9 if at else 0.0,
                "data": data.hex(),
            }

    def close(self) -> None:
        """End it."""
        self._socket.close()
