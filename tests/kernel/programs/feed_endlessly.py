"""Sends to each that connects without an end."""

import socket
import sys
import threading

server = socket.create_server((sys.argv[1], 3306))
print("listening", flush=True)


def feed(connection):
    while True:
        connection.sendall(bytes(65536))


while True:
    connection, _ = server.accept()
    threading.Thread(target=feed, args=(connection,), daemon=True).start()
