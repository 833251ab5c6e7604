"""Takes datagrams, and prints the length and the SHA-256 of each."""

import hashlib
import socket
import sys

hearer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
hearer.bind((sys.argv[1], 4244))
print("listening", flush=True)
while True:
    data = hearer.recv(65536)
    print(len(data), hashlib.sha256(data).hexdigest(), flush=True)
