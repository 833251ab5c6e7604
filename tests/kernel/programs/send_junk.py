"""Sends datagrams that are no packets of the overlay."""

import socket
import sys

sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
header = b"E" + bytes(60)
for junk in (b"", b"x", header[:19], bytes(20), header, b"\x60" + bytes(60), b"\xff" * 1472, b"E" * 9000):
    sender.sendto(junk, (sys.argv[1], 8285))
