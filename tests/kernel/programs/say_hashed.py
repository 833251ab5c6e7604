"""Sends ten datagrams of so many bytes with one call (UDP_SEGMENT of linux/udp.h).

Prints the length and the SHA-256 of each, as `hear_hashed` does.
"""

import hashlib
import socket
import struct
import sys

sayer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
size = int(sys.argv[2])
parts = [bytes([number]) * size for number in range(10)]
segment = [(socket.IPPROTO_UDP, 103, struct.pack("=H", size))]
sayer.sendmsg([b"".join(parts)], segment, 0, (sys.argv[1], 4244))
for part in parts:
    print(len(part), hashlib.sha256(part).hexdigest())
