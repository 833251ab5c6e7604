"""Streams in both directions of one TCP connection at the same time, and the SHA-256 of each.

stream.py serve ADDRESS BYTES             accepts one connection
stream.py connect SOURCE ADDRESS BYTES    makes it

Both print {"sent": DIGEST, "received": DIGEST, "bytes": RECEIVED}.
"""

import hashlib
import json
import os
import socket
import sys
import threading

PORT = 7008
BLOCK = 1 << 20  # bytes
PATIENCE = 60.0  # seconds without any progress


def send(connection: socket.socket, amount: int, digests: dict[str, str]) -> None:
    """Send `amount` bytes, no two blocks alike, so that a misplaced block would show."""
    digest, filler, sent = hashlib.sha256(), os.urandom(BLOCK - 8), 0
    while sent < amount:
        block = (sent.to_bytes(8) + filler)[: amount - sent]
        digest.update(block)
        connection.sendall(block)
        sent += len(block)
    connection.shutdown(socket.SHUT_WR)
    digests["sent"] = digest.hexdigest()


def exchange(connection: socket.socket, amount: int) -> None:
    """Send and receive at once, and report."""
    connection.settimeout(PATIENCE)
    digests: dict[str, str] = {}
    sender = threading.Thread(target=send, args=(connection, amount, digests))
    sender.start()
    digest, received, buffer = hashlib.sha256(), 0, bytearray(BLOCK)
    while count := connection.recv_into(buffer):
        digest.update(memoryview(buffer)[:count])
        received += count
    sender.join()
    report = {"sent": digests.get("sent"), "received": digest.hexdigest(), "bytes": received}
    sys.stdout.write(json.dumps(report) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        with socket.create_server((sys.argv[2], PORT)) as server:
            sys.stdout.write("listening\n")
            sys.stdout.flush()
            exchange(server.accept()[0], int(sys.argv[3]))
    else:
        target = (sys.argv[3], PORT)
        with socket.create_connection(target, PATIENCE, source_address=(sys.argv[2], 0)) as connected:
            exchange(connected, int(sys.argv[4]))
