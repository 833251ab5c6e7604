"""Locks that tell which process of this machine owns what outlives it, such as flannel.1.

A lock is a Unix socket with an abstract name (unix(7)): like the device it is unique in a network namespace,
and it is released when its process ends, however that happens.
"""

import errno
import os
import socket
import struct
from contextlib import closing

__all__ = ["DeviceLock", "LockedByAnother"]

_UCRED = struct.Struct("3i")  # struct ucred of linux/socket.h: pid, uid, gid
_BACKLOG = 64


class LockedByAnother(Exception):
    """Process `pid` holds the lock; 0 if it is not visible from here, for example in another container."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(f"{name} is held by {f'process {pid}' if pid else 'another process'}")
        self.pid = pid


class DeviceLock:
    """Holds the lock on a device, or whatever else the name stands for, until `close`.

    The constructor raises `LockedByAnother` or OSError.

    Anybody may bind such a name, so only root and our own user are believed to hold a device: against others
    the device is not locked, and `made` is false.
    """

    def __init__(self, name: str) -> None:
        address = f"\0flanneld/{name}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.made = True
        try:
            self._socket.bind(address)
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                raise
            pid, uid = _holder(address)
            if uid in (0, os.geteuid()):
                raise LockedByAnother(name, pid) from None
            self.made = False

    def look(self) -> None:
        """Drain pending probes so that the backlog never fills; to be called now and then."""
        while self.made:
            try:
                asking, _ = self._socket.accept()
            except OSError:  # no probe is pending
                return
            asking.close()

    def close(self) -> None:
        """Release the lock."""
        self.made = False
        self._socket.close()


def _holder(address: str) -> tuple[int, int]:
    """Return process and user of the listener (SO_PEERCRED of unix(7)); -1 if unknown."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)) as asking:
        try:
            asking.connect(address)
        except OSError:  # it has just been released, or the backlog is full
            return -1, -1
        pid, uid, _ = _UCRED.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid
