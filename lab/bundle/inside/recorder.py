"""Keeps the last packets of some devices of this machine in its memory, for whoever asks.

This file runs on a machine of the lab and imports nothing of ours:

    recorder.py PATH BYTES SECONDS DEVICE...

The kernel puts the first bytes of every packet into a ring that it shares with this program (packet_mmap,
TPACKET_V3), a block at a time. Only whole blocks are touched here, never single packets: that is what makes
it cheap. Of each device the last blocks stay, so many bytes of them, and none that is older than SECONDS.
Who connects to the socket PATH is told a line of JSON, {"devices": [{"device": NAME, "blocks": [LENGTH...],
"dropped": COUNT}]}, and then all these blocks. While another recorder has PATH, this one waits for its end.
"""

import ctypes
import fcntl
import json
import mmap
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h, linux/filter.h
SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION = 263, 5, 6, 10
TPACKET_V3 = 2
TP_STATUS_KERNEL, TP_STATUS_USER = 0, 1
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
BPF_RET_K = 0x06

SNAPLEN = 192
"""Bytes of a packet: Ethernet, IPv6, UDP, VXLAN, Ethernet, IPv6, and TCP with all its options have 184."""

BLOCK = 1 << 17
BLOCKS = 16
"""They are what the kernel may fill while this program does not come to run: 2 MiB."""
FRAME = 2048
"""To the kernel only a number to check the sizes by: packets stand close together in a block."""

FILLED_WITHIN = 100
"""Milliseconds after which the kernel hands over a block that is not full."""

STATUS, PACKETS, LENGTH = 8, 12, 20
"""Where these fields stand in a struct tpacket_block_desc."""

SLOW = 2.0
"""Seconds that whoever has asked may take to read a part of the answer."""


class Device:
    """A network device, and the blocks of its last packets."""

    def __init__(self, name: str, limit: int, seconds: float) -> None:
        """`limit` is in bytes. Raises `OSError`."""
        self.name = name
        self.blocks: deque[tuple[float, bytes]] = deque()
        """With the moment when each was full (CLOCK_MONOTONIC)."""
        self.dropped = 0
        """Packets for which the ring had no room."""
        self._limit, self._seconds, self._held = limit, seconds, 0
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V3)
        cut = ctypes.create_string_buffer(struct.pack("=HBBI", BPF_RET_K, 0, 0, SNAPLEN))
        self._socket.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(cut))
        )
        frames = BLOCK // FRAME * BLOCKS
        ring = struct.pack("@7I", BLOCK, BLOCKS, FRAME, frames, FILLED_WITHIN, 0, 0)
        self._socket.setsockopt(SOL_PACKET, PACKET_RX_RING, ring)
        self._ring = mmap.mmap(self._socket.fileno(), BLOCK * BLOCKS)
        self._next = 0
        self._socket.bind((name, ETH_P_ALL))

    def fileno(self) -> int:
        """Its socket's descriptor."""
        return self._socket.fileno()

    def take(self) -> None:
        """Take what the kernel has handed over, and give its blocks back."""
        while True:
            start = self._next * BLOCK
            status, packets = struct.unpack_from("@2I", self._ring, start + STATUS)
            if not status & TP_STATUS_USER:
                break
            (length,) = struct.unpack_from("@I", self._ring, start + LENGTH)
            if packets:
                self.blocks.append((time.monotonic(), self._ring[start : start + length]))
                self._held += length
            struct.pack_into("@I", self._ring, start + STATUS, TP_STATUS_KERNEL)
            self._next = (self._next + 1) % BLOCKS
        self.forget()

    def forget(self) -> None:
        """Let go of what is too much, and of what is too old."""
        old = time.monotonic() - self._seconds
        while self.blocks and (self._held > self._limit or self.blocks[0][0] < old):
            self._held -= len(self.blocks.popleft()[1])

    def heed_error(self) -> None:
        """Take note that the device went down: once it is up again, the kernel goes on with it by itself."""
        self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    def count(self) -> None:
        """Ask the kernel how many packets had no room since it was asked last."""
        told = self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 12)
        self.dropped += struct.unpack("@3I", told)[1]


def answer(listener: socket.socket, devices: list[Device]) -> None:
    """Tell the next who has connected all that is kept."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(SLOW)
        for device in devices:
            device.count()
            device.forget()
        told = [
            {
                "device": device.name,
                "blocks": [len(block) for _, block in device.blocks],
                "dropped": device.dropped,
            }
            for device in devices
        ]
        with suppress(OSError):  # who has asked has gone, or does not read
            connection.sendall(f"{json.dumps({'devices': told})}\n".encode())
            for device in devices:
                for _, block in device.blocks:
                    connection.sendall(block)


def listening(path: str) -> socket.socket:
    """The socket, which only root can open."""
    with suppress(FileNotFoundError):
        Path(path).unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.umask(0o177)
    listener.bind(path)
    listener.listen()
    return listener


def record(path: str, devices: list[Device]) -> None:
    """Go on for ever."""
    listener = listening(path)
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    by_number = {device.fileno(): device for device in devices}
    for number in by_number:
        waiting.register(number, select.POLLIN)
    while True:
        ready = dict(waiting.poll())
        for number, device in by_number.items():
            if ready.get(number, 0) & select.POLLERR:
                device.heed_error()
            if number in ready:
                device.take()
        if listener.fileno() in ready:
            answer(listener, devices)


if __name__ == "__main__":
    path, limit, seconds, *names = sys.argv[1:]
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    record(path, [Device(name, int(limit), float(seconds)) for name in names])
