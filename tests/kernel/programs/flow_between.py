"""Sends numbered datagrams from one network namespace to another, and prints what came: a line of JSON each.

Arguments: namespace and address of the sender, and of the receiver, a port, how many, how many seconds
between two, bytes of each, and how many go into a super-packet (1, unless given). A line has the number, the
seconds that it took, and when it came. A changed datagram has -1.
"""

import ctypes
import json
import select
import socket
import struct
import sys
import time
from pathlib import Path

CLONE_NEWNET = 0x40000000  # linux/sched.h
SOL_UDP, UDP_SEGMENT = 17, 103  # linux/udp.h

GRACE, AFTER_ALL = 1.5, 0.05
"""Seconds without any, after which nothing is waited for: while some are missing, and for a second copy."""


def open_in(netns: str, address: str, port: int) -> socket.socket:
    with Path(f"/run/netns/{netns}").open() as there:
        assert ctypes.CDLL(None).setns(there.fileno(), CLONE_NEWNET) == 0
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    made.bind((address, port))
    return made


source, from_address, sink, to_address = sys.argv[1:5]
port, number, interval, size = int(sys.argv[5]), int(sys.argv[6]), float(sys.argv[7]), int(sys.argv[8])
together = int(sys.argv[9]) if len(sys.argv) > 9 else 1
receiver = open_in(sink, to_address, port)
sender = open_in(source, from_address, 0)
if together > 1:
    sender.setsockopt(SOL_UDP, UDP_SEGMENT, size)
HEAD = struct.Struct("!Id")
padding = (bytes(range(256)) * 6)[: size - HEAD.size]


missing = set(range(number))


def hear(until: float) -> bool:
    """Take one that comes by then; whether one has."""
    if not select.select([receiver], [], [], max(0.0, until - time.monotonic()))[0]:
        return False
    data = receiver.recv(65536)
    now = time.monotonic()
    sequence, sent_at = HEAD.unpack_from(data)
    missing.discard(sequence)
    if data[HEAD.size :] != padding:
        sequence = -1
    print(json.dumps([sequence, now - sent_at, now]), flush=True)
    return True


began = time.monotonic()
for first in range(0, number, together):
    while hear(began + first * interval):
        pass
    now = time.monotonic()
    numbers = range(first, min(first + together, number))
    datagrams = [HEAD.pack(sequence, now) + padding for sequence in numbers]
    sender.sendto(b"".join(datagrams), (to_address, port))
while hear(time.monotonic() + (GRACE if missing else AFTER_ALL)):
    pass
