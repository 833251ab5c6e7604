"""A TUN device: packets as reads and writes of a file (the kernel's networking/tuntap.rst)."""

import errno
import fcntl
import os
import struct

from flanneld_py.errors import Exit, Fatal

__all__ = ["open_tun", "require_tun"]

DEVICE = "/dev/net/tun"
TUNSETIFF = 0x400454CA  # linux/if_tun.h: _IOW('T', 202, int)
IFF_TUN = 0x0001  # linux/if_tun.h
IFF_NO_PI = 0x1000  # linux/if_tun.h
IFREQ = struct.Struct("16sH22x")  # struct ifreq of linux/if.h: a name and a union, of which flags


def require_tun() -> None:
    """Raise `Fatal` unless TUN devices can be made; none is."""
    os.close(_open())


def open_tun(name: str) -> tuple[int, str]:
    """Make a TUN device of this name; its file descriptor, not blocking, and its name.

    In `flannel%d` the kernel puts the first number that is free. The device lives until the descriptor is
    closed, also by the end of the process. Raises `Fatal`.
    """
    descriptor = _open()
    try:
        made = fcntl.ioctl(descriptor, TUNSETIFF, IFREQ.pack(name.encode(), IFF_TUN | IFF_NO_PI))
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EBUSY:
            hint, code = "another process has it; is a second flanneld running here?", Exit.TAKEN
        elif error.errno == errno.EINVAL:
            hint = f"a device of another kind has this name; remove it: ip link delete {name}"
            code = Exit.TAKEN
        else:
            hint, code = f"{error.strerror}; flanneld needs the capability CAP_NET_ADMIN", Exit.KERNEL
        raise Fatal(f"Making the device {name}: {hint}", code=code) from error
    return descriptor, IFREQ.unpack(made)[0].rstrip(b"\0").decode()


def _open() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Fatal(
            f"Opening {DEVICE}: {error.strerror}; it must exist (mknod {DEVICE} c 10 200) and be ours to use",
            code=Exit.KERNEL,
        ) from error
