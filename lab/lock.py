"""One process at a time for one name: who makes, owns or removes a lab.

The lock is a bound abstract Unix socket (unix(7)): no file, nothing to clean up, and the kernel frees it
when its process ends, however it ends. That is how `lab gc` tells a lab that is being made from one
whose maker was killed.
"""

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from lab.errors import LabError

__all__ = ["Busy", "held", "is_held"]


class Busy(LabError):
    """Another process holds the lock."""


def _bind(engine: str, name: str) -> socket.socket | None:
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0overlay-lab/{engine}/{name}")
    except OSError as error:
        lock.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return lock


@contextmanager
def held(engine: str, name: str) -> Iterator[None]:
    """Hold the lock on the lab `name` of the engine with this id. Raises `Busy`."""
    lock = _bind(engine, name)
    if lock is None:
        raise Busy(
            f"another process is working on the lab {name} right now",
            hint="Wait for it to end, or use another --name.",
        )
    with lock:
        yield


def is_held(engine: str, name: str) -> bool:
    """Whether some process, this one included, holds the lock on the lab `name`."""
    lock = _bind(engine, name)
    if lock is None:
        return True
    lock.close()
    return False
