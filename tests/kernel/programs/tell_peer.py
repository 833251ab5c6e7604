"""Answers who connects, by IPv4 or IPv6, with the address that it sees, and ends."""

import socket

listener = socket.create_server(("", 3306), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
connection, (address, *_) = listener.accept()
connection.sendall(address.removeprefix("::ffff:").encode())
