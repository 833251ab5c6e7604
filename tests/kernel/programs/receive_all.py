"""Prints how many bytes one connection has brought, when it has ended. Argument: our address."""

import socket
import sys

family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
server = socket.create_server((sys.argv[1], 7000), family=family)
print("listening", flush=True)
connection, _ = server.accept()
received = 0
while data := connection.recv(65536):
    received += len(data)
print("received", received, flush=True)
