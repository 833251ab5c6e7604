"""Takes what a server sends, and says so each megabyte."""

import socket
import sys

connection = socket.create_connection((sys.argv[1], 3306), timeout=60)
connection.settimeout(60)
total = told = 0
while data := connection.recv(1 << 20):
    total += len(data)
    if total >= told + 1_000_000:
        told = total
        print("received", flush=True)
