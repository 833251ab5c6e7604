"""Sends to a daemon what a node of the overlay would send: a UDP packet, as it is, in a datagram."""

import socket
import struct
import sys

daemon, source, destination, words = sys.argv[1:5]
data = words.encode()
udp = struct.pack("!HHHH", 4242, 4242, 8 + len(data), 0) + data
head = struct.pack(
    "!BBHHHBBH4s4s",
    0x45,
    0,
    20 + len(udp),
    1,
    0,
    64,
    17,
    0,
    socket.inet_aton(source),
    socket.inet_aton(destination),
)
total = sum(struct.unpack("!10H", head))
total = (total & 0xFFFF) + (total >> 16)
head = head[:10] + struct.pack("!H", (total & 0xFFFF) + (total >> 16) ^ 0xFFFF) + head[12:]
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("0.0.0.0", 8285))
sender.sendto(head + udp, (daemon, 8285))
