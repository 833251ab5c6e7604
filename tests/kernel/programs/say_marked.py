"""Sends so many datagrams as fast as it can, every second one with a mark.

SO_MARK of asm-generic/socket.h.
"""

import socket
import sys

target, number, mark = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
sayers = []
for value in (0, mark):
    sayer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sayer.setsockopt(socket.SOL_SOCKET, 36, value)
    sayer.connect((target, 4244))
    sayers.append((sayer, b"marked" if value else b"plain"))
for place in range(number):
    sayer, word = sayers[place % 2]
    sayer.send(word)
