"""Sends a word to a server, and has it given back. Arguments: the server's address and our own."""

import socket
import sys

connection = socket.create_connection((sys.argv[1], 7000), timeout=2, source_address=(sys.argv[2], 0))
connection.sendall(b"hello")
assert connection.recv(100) == b"hello"
