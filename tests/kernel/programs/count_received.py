"""Prints how many bytes a server has sent until it ended."""

import socket
import sys

connection = socket.create_connection((sys.argv[1], 3306), timeout=10)
connection.settimeout(10)
received = 0
while data := connection.recv(1 << 20):
    received += len(data)
print(received)
