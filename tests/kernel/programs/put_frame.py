"""Puts a frame on eth0 as it is (packet(7))."""

import socket
import sys

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
wire.bind(("eth0", 0))
wire.send(bytes.fromhex(sys.argv[1]))
