"""Sends what a machine that knows our MAC can: an Ethernet frame in VXLAN (RFC 7348), with UDP in it."""

import socket
import struct
import sys

machine, mac, vni, source, destination, words = sys.argv[1:7]
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
frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000001") + b"\x08\x00" + head + udp
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendto(struct.pack("!II", 0x08000000, int(vni) << 8) + frame, (machine, 8472))
