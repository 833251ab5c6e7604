"""Prints what a server answers."""

import socket
import sys

print(socket.create_connection((sys.argv[1], 3306), 5).recv(99).decode())
