"""Answers each connection once, with what it is sent."""

import socket
import sys

server = socket.create_server((sys.argv[1], 7000))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(connection.recv(100))
