"""Exchanges as much as a login to MySQL, a query and a row of 200 kB, five times; see `serve_logins`."""

import socket
import sys

for _ in range(5):
    with socket.create_connection((sys.argv[1], 3306), timeout=20) as connection:
        connection.settimeout(20)
        with connection.makefile("rwb") as stream:
            for told, answer in ((80, 200), (11, 40), (200_000, 0)):
                assert stream.read(told) == bytes(told), "not what was sent"
                stream.write(bytes(answer))
                stream.flush()
    print("logged in", flush=True)
