"""Sends so many bytes. Arguments: the address, their number, and perhaps our own address."""

import socket
import sys

address, count, *own = sys.argv[1:]
source = (own[0], 0) if own else None
connection = socket.create_connection((address, 7000), timeout=10, source_address=source)
connection.sendall(bytes(int(count)))
