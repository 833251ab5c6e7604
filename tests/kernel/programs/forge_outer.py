"""Sends, as a container with CAP_NET_RAW can, a UDP datagram to a peer in whoever's name.

It has the header of VNI 1 (RFC 7348) and nothing in it.
"""

import socket
import struct
import sys

source, destination, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
udp = struct.pack("!HHHH", port, port, 16, 0) + struct.pack("!II", 1 << 27, 1 << 8)
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
sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
sender.sendto(head + udp, (destination, 0))
