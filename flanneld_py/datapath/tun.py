"""TUN devices: packets as reads and writes on a file (see the kernel's networking/tuntap.rst)."""

import errno
import fcntl
import os
import socket
import struct
from dataclasses import dataclass

from flanneld_py.datapath import vnet
from flanneld_py.errors import Exit, Fatal

__all__ = ["Tun", "open_tun", "require_tun"]

DEVICE = "/dev/net/tun"
# linux/if_tun.h
TUNSETIFF = 0x400454CA  # _IOW('T', 202, int)
TUNSETOFFLOAD = 0x400454D0  # _IOW('T', 208, unsigned int)
TUNSETVNETHDRSZ = 0x400454D8  # _IOW('T', 216, int)
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO_ECN = 0x08
TUN_F_USO4 = 0x20  # since Linux 6.2
TUN_F_USO6 = 0x40

# Supported super-packets, largest set first. The kernel enables USO for both address families or for neither.
OFFLOADS = {
    "tso, uso": TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6,
    "tso": TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO_ECN,
}
IFREQ = struct.Struct("16sH22x")  # struct ifreq of linux/if.h: a name and a union, here the flags


def require_tun() -> None:
    """Raise `Fatal` unless TUN devices can be created; creates none."""
    os.close(_open())


@dataclass(frozen=True, slots=True)
class Tun:
    """A TUN device: its non-blocking file descriptor, name and index.

    `offloads` names the super-packets that it exchanges; if not empty, every packet is preceded by a virtio
    header (`vnet`), in both directions.
    """

    descriptor: int
    name: str
    offloads: str = ""
    index: int = 0


def open_tun(name: str, *, offloads: bool = False) -> Tun:
    """Create a TUN device, with offloads if requested and supported by the kernel. Raises `Fatal`.

    In a name such as `flannel%d` the kernel fills in the first free number. The device exists until the
    descriptor is closed, at the latest when the process ends.
    """
    if offloads:
        descriptor, made = _make(name, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)
        for words, flags in OFFLOADS.items():
            if _sets(descriptor, TUNSETVNETHDRSZ, struct.pack("=i", vnet.SIZE)) and _sets(
                descriptor, TUNSETOFFLOAD, flags
            ):
                return _tun(descriptor, made, words)
        os.close(descriptor)
    return _tun(*_make(name, IFF_TUN | IFF_NO_PI))


def _tun(descriptor: int, name: str, offloads: str = "") -> Tun:
    try:
        return Tun(descriptor, name, offloads, socket.if_nametoindex(name))
    except OSError as error:
        os.close(descriptor)
        hint = "it was removed or renamed as soon as it was created"
        raise Fatal(f"Creating device {name}: {hint}", code=Exit.KERNEL) from error


def _sets(descriptor: int, request: int, value: int | bytes) -> bool:
    """Whether the kernel accepts the request."""
    try:
        fcntl.ioctl(descriptor, request, value)
    except OSError:
        return False
    return True


def _make(name: str, flags: int) -> tuple[int, str]:
    descriptor = _open()
    try:
        made = fcntl.ioctl(descriptor, TUNSETIFF, IFREQ.pack(name.encode(), flags))
    except OSError as error:
        os.close(descriptor)
        if error.errno == errno.EBUSY:
            hint, code = "another process has it; is a second flanneld running here?", Exit.TAKEN
        elif error.errno == errno.EINVAL:
            hint = f"a device of another kind has this name; remove it: ip link delete {name}"
            code = Exit.TAKEN
        else:
            hint, code = f"{error.strerror}; flanneld needs the capability CAP_NET_ADMIN", Exit.KERNEL
        raise Fatal(f"Creating device {name}: {hint}", code=code) from error
    return descriptor, IFREQ.unpack(made)[0].rstrip(b"\0").decode()


def _open() -> int:
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Fatal(
            f"Opening {DEVICE}: {error.strerror}; it must exist (mknod {DEVICE} c 10 200) and be accessible",
            code=Exit.KERNEL,
        ) from error
