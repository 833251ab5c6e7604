"""Prints how many seconds it took to connect."""

import socket
import sys
import time

begin = time.monotonic()
connection = socket.create_connection((sys.argv[1], 7000))
print(time.monotonic() - begin)
