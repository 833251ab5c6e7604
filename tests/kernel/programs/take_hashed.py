"""Prints the SHA-256 of all that each connection brings."""

import hashlib
import socket
import sys

server = socket.create_server((sys.argv[1], 4243))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    connection.settimeout(20)
    whole = hashlib.sha256()
    while part := connection.recv(1 << 20):
        whole.update(part)
    print(whole.hexdigest(), flush=True)
