"""Sends words in a datagram."""

import socket
import sys

teller = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
teller.sendto(sys.argv[2].encode(), (sys.argv[1], 4242))
