"""Gives each that connects ten megabytes."""

import socket
import sys

server = socket.create_server((sys.argv[1], 3306))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    connection.settimeout(10)
    connection.sendall(bytes(10_000_000))
    connection.close()
