"""A steady flow of datagrams that are echoed, to see when none comes back.

probe.py echo ADDRESS            sends every datagram back
probe.py SOURCE ADDRESS SECONDS  sends one every SECONDS; prints when (CLOCK_MONOTONIC) each came back
"""

import contextlib
import select
import socket
import sys
import time

PORT = 7007
LONGEST = 64  # bytes; a datagram has eight


def echo(address: str) -> None:
    """Send back whatever arrives, forever."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, PORT))
    while True:
        data, source = sock.recvfrom(LONGEST)
        with contextlib.suppress(OSError):  # no route for a moment: it is lost, as on any wire
            sock.sendto(data, source)


def probe(source: str, address: str, interval: float) -> None:
    """Send and listen, forever."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((source, 0))
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    due, number = time.monotonic(), 0
    while True:
        wait = due - time.monotonic()
        if wait <= 0:
            with contextlib.suppress(OSError):  # no route, or no buffer: this one counts as lost
                sock.sendto(number.to_bytes(8), (address, PORT))
            number += 1
            due += interval
        elif poll.poll(wait * 1000):
            with contextlib.suppress(OSError):  # an ICMP error about one that was sent
                sock.recv(LONGEST)
                sys.stdout.write(f"{time.monotonic():.6f}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    echo(sys.argv[2]) if sys.argv[1] == "echo" else probe(sys.argv[1], sys.argv[2], float(sys.argv[3]))
