"""A TUN device: packets as reads and writes of a file (the kernel's networking/tuntap.rst)."""

import errno
import fcntl
import os
import struct

from flanneld_py.errors import Fatal

__all__ = ["open_tun"]

DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA  # linux/if_tun.h: _IOW('T', 202, int)
IFF_TUN = 0x0001  # linux/if_tun.h
IFF_NO_PI = 0x1000  # linux/if_tun.h
IFREQ = struct.Struct("16sH22x")  # struct ifreq of linux/if.h: a name and a union, of which flags


def open_tun(name: str) -> int:
    """Make a TUN device of this name; its file descriptor, not blocking.

    The device lives until the descriptor is closed, also by the end of the process. Raises `Fatal`.
    """
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Fatal(
            f"Opening {DEVICE}: {error.strerror}; it must exist (mknod {DEVICE} c 10 200) and be ours to use"
        ) from error
    try:
        fcntl.ioctl(descriptor, TUNSETIFF, IFREQ.pack(name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EBUSY:
            raise Fatal(
                f"Making {name}: another process has it; is a second flanneld running here?"
            ) from error
        raise Fatal(
            f"Making {name}: {error.strerror}; flanneld needs the capability CAP_NET_ADMIN"
        ) from error
    return descriptor
