"""Gives back all that connections bring."""

import socket
import sys

server = socket.create_server((sys.argv[1], 7000))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    while data := connection.recv(65536):
        connection.sendall(data)
