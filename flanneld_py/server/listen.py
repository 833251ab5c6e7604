"""Where a server listens: an address, or a socket that systemd opened."""

import errno
import os
import socket
from collections.abc import MutableMapping
from typing import Final

from flanneld_py.errors import Exit, Fatal

__all__ = ["listen"]

FIRST: Final = 3  # SD_LISTEN_FDS_START of systemd/sd-daemon.h
BACKLOG: Final = 1024


def listen(place: str, environ: MutableMapping[str, str] = os.environ) -> socket.socket:
    """A socket for `HOST:PORT`, `tcp://HOST:PORT`, `:PORT` or `fd://N`. Raises `Fatal`."""
    if place.startswith("fd://"):
        return _activated(place, environ)
    host, _, port = place.removeprefix("tcp://").rpartition(":")
    try:
        return _bound(host.strip("[]"), int(port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            hint = "another process has the port: end it, or give another"
            raise Fatal(f"Error listening on {place} (-listen): {hint}", code=Exit.TAKEN) from error
        hint = f"{error.strerror or error}: give an address of this machine"
        raise Fatal(f"Error listening on {place} (-listen): {hint}", code=Exit.INTERFACE) from error


def _bound(host: str, port: int) -> socket.socket:
    if host:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    try:
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise
    return socket.create_server(("", port), backlog=BACKLOG)  # a machine without IPv6


def _activated(place: str, environ: MutableMapping[str, str]) -> socket.socket:
    """See sd_listen_fds(3); no number means the first."""
    wanted = int(place.removeprefix("fd://") or FIRST)
    owner, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", "")
    if owner != str(os.getpid()) or not count.isdecimal():
        raise _no_socket(place, "systemd has given this process no socket")
    if not FIRST <= wanted < FIRST + int(count):
        raise _no_socket(place, f"systemd has given {count}, from fd://{FIRST} on")
    os.set_inheritable(wanted, False)
    try:
        found = socket.socket(fileno=wanted)
    except OSError as error:
        raise _no_socket(place, f"it is not a socket ({error.strerror})") from error
    is_tcp = found.family in (socket.AF_INET, socket.AF_INET6) and found.type == socket.SOCK_STREAM
    if not (is_tcp and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)):
        found.close()
        raise _no_socket(place, "it does not listen for TCP: use ListenStream=PORT in the socket unit")
    found.setblocking(True)
    return found


def _no_socket(place: str, reason: str) -> Fatal:
    return Fatal(f"Error listening on {place} (-listen): {reason}: see systemd.socket(5)", code=Exit.USAGE)
