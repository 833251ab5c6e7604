"""Which process of this machine holds a device that outlives it, such as flannel.1.

The sign is a Unix socket with an abstract name (unix(7)): there is one of a name in each network namespace,
as of the device, and it goes with its process, however that ends.
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
    """Another process has it, `pid`; 0 for one that cannot be seen from here, in another container say."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(f"{name} is held by {f'process {pid}' if pid else 'another process'}")
        self.pid = pid


class DeviceLock:
    """Holds the device of this name until `close`. Making one raises `LockedByAnother`, or OSError.

    Anybody may take such a name, so only root, or our own user, is believed to hold a device: against others
    the device is not held, and `made` is false.
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
        """Let go those who asked who holds it; from time to time, lest there be no room for more."""
        while self.made:
            try:
                asking, _ = self._socket.accept()
            except OSError:  # nobody asks any more
                return
            asking.close()

    def close(self) -> None:
        """Hold it no more."""
        self.made = False
        self._socket.close()


def _holder(address: str) -> tuple[int, int]:
    """Process and user of who listens (SO_PEERCRED of unix(7)); -1 where that cannot be told."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)) as asking:
        try:
            asking.connect(address)
        except OSError:  # it has just gone, or too many ask
            return -1, -1
        pid, uid, _ = _UCRED.unpack(asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return pid, uid
