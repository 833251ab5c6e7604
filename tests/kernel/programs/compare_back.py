"""Sends 256 kB, and has the same given back within so many seconds."""

import socket
import sys

connection = socket.create_connection((sys.argv[1], 7000), timeout=float(sys.argv[2]))
payload = bytes(range(256)) * 1000
connection.sendall(payload)
received = b""
while len(received) < len(payload):
    received += connection.recv(65536)
assert received == payload
