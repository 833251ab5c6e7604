"""Sends numbered datagrams from one network namespace to another, and prints what came: a line of JSON each.

Arguments: namespace and address of the sender, and of the receiver, a port, how many, how many seconds
between two, bytes of each. A line has the number, the seconds that it took, and when it came. A changed
datagram has -1.
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
receiver = open_in(sink, to_address, port)
sender = open_in(source, from_address, 0)
padding = bytes(range(256)) * 6
HEAD = struct.Struct("!Id")


missing = set(range(number))


def hear(until: float) -> bool:
    """Take one that comes by then; whether one has."""
    if not select.select([receiver], [], [], max(0.0, until - time.monotonic()))[0]:
        return False
    data = receiver.recv(65536)
    now = time.monotonic()
    sequence, sent_at = HEAD.unpack_from(data)
    missing.discard(sequence)
    if data[HEAD.size :] != padding[: size - HEAD.size]:
        sequence = -1
    print(json.dumps([sequence, now - sent_at, now]), flush=True)
    return True


began = time.monotonic()
for sequence in range(number):
    while hear(began + sequence * interval):
        pass
    sender.sendto(HEAD.pack(sequence, time.monotonic()) + padding[: size - HEAD.size], (to_address, port))
while hear(time.monotonic() + (GRACE if missing else AFTER_ALL)):
    pass
