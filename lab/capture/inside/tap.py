"""A packet socket (packet(7)) on one device: what it sees, with the kernel's time and direction."""

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence

__all__ = ["Seen", "Tap"]

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h.
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA = 263, 6, 8
PACKET_OTHERHOST, PACKET_OUTGOING = 3, 4
ETH_P_ALL = 0x0003
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35

BUFFER = 1 << 23
"""Bytes that wait for us while we do not come to run."""

LARGEST = 1 << 18
"""Bytes of a packet: more than the kernel makes of one."""

AT_ONCE = 512
"""Packets that are taken before other devices come to their turn."""

IN, OUT = 1, 2
RECEPTION = {0: 1, 1: 3, 2: 2, 3: 4}
"""By sll_pkttype: epb_flags of pcapng: unicast, broadcast, multicast, promiscuous."""

Seen = tuple[int, int, int, bytes]
"""Time in nanoseconds, epb_flags, the packet's own length, its bytes."""


class Tap:
    """It sees what the device sends and gets, until it is closed."""

    def __init__(self, device: str, instructions: Sequence[Sequence[int]]) -> None:
        """In the calling thread's network namespace. `instructions` cut packets, too. Raises `OSError`."""
        # No protocol, so that nothing comes before the filter is in its place.
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        packed = b"".join(struct.pack("HBBI", *each) for each in instructions)
        buffer = ctypes.create_string_buffer(packed)
        program = struct.pack("HP", len(instructions), ctypes.addressof(buffer))  # struct sock_fprog
        self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._socket.setblocking(False)
        self._socket.bind((device, ETH_P_ALL))
        self._buffer = bytearray(LARGEST)
        self.is_empty = True
        """Whether all that there was has been taken."""
        self.seen, self.dropped = 0, 0

    def fileno(self) -> int:
        """Its descriptor."""
        return self._socket.fileno()

    def take(self) -> Iterator[Seen]:
        """What has come."""
        view = memoryview(self._buffer)
        for _ in range(AT_ONCE):
            try:
                size, extra, _, address = self._socket.recvmsg_into([view], 256)
            except BlockingIOError:
                self.is_empty = True
                return
            except OSError:  # its device went down; once that is up again, packets come again
                continue
            at, length = 0, size
            for level, kind, value in extra:
                if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                    seconds, nanoseconds = struct.unpack("qq", value)
                    at = seconds * 10**9 + nanoseconds
                elif (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    length = struct.unpack_from("3I", value)[1]  # struct tpacket_auxdata: tp_len
            kind = address[2]
            flags = OUT if kind == PACKET_OUTGOING else IN | RECEPTION.get(kind, 0) << 2
            yield at, flags, length, bytes(view[:size])
        self.is_empty = False

    def count(self) -> None:
        """Ask the kernel, which then begins anew."""
        seen, dropped = struct.unpack("2I", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self.seen, self.dropped = self.seen + seen, self.dropped + dropped

    def close(self) -> None:
        """End it."""
        self._socket.close()
