"""Answers what `log_in` asks: as long as a login to MySQL, a query and a row of 200 kB."""

import socket
import sys

server = socket.create_server((sys.argv[1], 3306))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    connection.settimeout(20)
    with connection, connection.makefile("rwb") as stream:
        for asked, answer in ((0, 80), (200, 11), (40, 200_000)):
            stream.read(asked)
            stream.write(bytes(answer))
            stream.flush()
