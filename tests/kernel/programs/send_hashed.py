"""Sends so many megabytes that are different everywhere, and prints their SHA-256."""

import hashlib
import random
import socket
import sys

data = random.Random(7).randbytes(1 << 20)
whole = hashlib.sha256()
with socket.create_connection((sys.argv[1], 4243), timeout=10) as connection:
    connection.settimeout(20)
    for number in range(int(sys.argv[2])):
        part = number.to_bytes(4) + data
        whole.update(part)
        connection.sendall(part)
print(whole.hexdigest())
