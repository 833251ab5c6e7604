"""Appends rows to MySQL servers over the overlay, and remembers which of them were acknowledged.

Argument: {"own": ADDRESS, "name": NAME, "servers": {NAME: {"address": ADDRESS, "password": TEXT}}, "shift":
SECONDS}; `own` is docker0's address. It prints {"ready": true} at once. Given a line, it begins and prints
{"now": MONOTONIC}: each server gets this client's rows, five a second, in the table lab_soak.appended. Given
an empty line, or no more, it stops, and prints
    {"acknowledged": {NAME: [NUMBER, ...]}, "gaps": [[NAME, FROM, TO], ...]}
In a gap no row was acknowledged for more than a second. Times are of CLOCK_MONOTONIC
with the shift added, which makes it everybody's.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pymysql

EVERY = 0.2
"""Seconds between two rows, and until a connection is tried anew."""

PATIENCE = 5
"""Seconds for a server to answer."""

GAP = 1.0
"""Seconds without a row."""

MADE = (
    "CREATE DATABASE IF NOT EXISTS lab_soak",
    "CREATE TABLE IF NOT EXISTS lab_soak.appended"
    " (client VARCHAR(64), number INT, PRIMARY KEY (client, number))",
)


class Server:
    """One server, as this client knows it."""

    def __init__(self, name: str, asked: Mapping[str, Any], over: threading.Event) -> None:
        self.name = name
        self._own = str(asked["own"])
        self._reach = asked["servers"][name]
        self._client = str(asked["name"])
        self._over = over
        self.acknowledged: set[int] = set()
        self.gaps: list[tuple[float, float]] = []

    def _connect(self) -> Any:
        return pymysql.connect(
            host=self._reach["address"],
            user="root",
            password=os.fsencode(self._reach["password"]),  # pymysql would encode a str as Latin-1
            bind_address=self._own,
            connect_timeout=PATIENCE,
            read_timeout=PATIENCE,
            write_timeout=PATIENCE,
            autocommit=True,
        )

    def append(self) -> None:
        """A row after the other, and a new connection where one has ended, until it is over."""
        number, last = 0, time.monotonic()
        made = False
        while not self._over.wait(EVERY):
            with (
                suppress(pymysql.MySQLError, OSError),
                self._connect() as connection,
                connection.cursor() as cursor,
            ):
                if not made:
                    for statement in MADE:
                        cursor.execute(statement)
                    cursor.execute("DELETE FROM lab_soak.appended WHERE client = %s", [self._client])
                    made = True
                while not self._over.wait(EVERY):
                    number += 1
                    cursor.execute("INSERT INTO lab_soak.appended VALUES (%s, %s)", [self._client, number])
                    self.acknowledged.add(number)
                    now = time.monotonic()
                    if now - last > GAP:
                        self.gaps.append((last, now))
                    last = now
        if (now := time.monotonic()) - last > GAP:
            self.gaps.append((last, now))


def main(asked: Mapping[str, Any]) -> None:
    """Append from one line to an empty one."""
    over = threading.Event()
    servers = [Server(name, asked, over) for name in asked["servers"]]
    say({"ready": True})
    if not sys.stdin.readline().strip():  # who asked is gone
        return
    shift = asked["shift"]
    say({"now": time.monotonic() + shift})
    tasks = [threading.Thread(target=server.append) for server in servers]
    for task in tasks:
        task.start()
    while sys.stdin.readline().strip():
        pass
    over.set()
    for task in tasks:
        task.join()
    say(
        {
            "acknowledged": {server.name: sorted(server.acknowledged) for server in servers},
            "gaps": [
                [server.name, since + shift, until + shift]
                for server in servers
                for since, until in server.gaps
            ],
        }
    )


def say(value: object) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
