"""Prints what it has heard, in all."""

import collections
import socket
import sys

hearer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hearer.bind((sys.argv[1], 4244))
print("listening", flush=True)
heard: collections.Counter[str] = collections.Counter()
while True:
    heard[hearer.recv(100).decode()] += 1
    print(dict(heard), flush=True)
