"""Sends a datagram. Arguments: address, port, and what is in it, in hexadecimal."""

import socket
import sys

thrower = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
thrower.sendto(bytes.fromhex(sys.argv[3]), (sys.argv[1], int(sys.argv[2])))
