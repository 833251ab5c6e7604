"""Prints the source and the words of each datagram."""

import socket
import sys

listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listener.bind((sys.argv[1], 4242))
print("listening", flush=True)
while True:
    data, source = listener.recvfrom(2000)
    print(source[0], data.decode(), flush=True)
