"""A tap device that lives as long as a process holds it (Documentation/networking/tuntap.rst)."""

import fcntl
import os
import re
import struct
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.faults.impairment.seen import Held

__all__ = ["holders", "open_tap"]

DEVICE = "/dev/net/tun"

# linux/if_tun.h.
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6, TUN_F_USO4, TUN_F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40

SUPER_PACKETS = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6
SUPER_DATAGRAMS = TUN_F_USO4 | TUN_F_USO6
"""Since Linux 6.2."""


def open_tap(name: str, *, offloads: bool) -> int:
    """Make a device and return its descriptor, which reads and writes frames behind a struct virtio_net_hdr.

    With `offloads` they may be super-packets without checksums. Raises `LabError`.
    """
    try:
        descriptor = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        hint = "the machine needs /dev/net/tun, and in it the kernel's tun driver"
        raise LabError(f"cannot open {DEVICE} for the delay line: {error.strerror}", hint=hint) from error
    try:
        request = struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)  # struct ifreq
        fcntl.ioctl(descriptor, TUNSETIFF, request)
        _set_offloads(descriptor, offloads)
    except OSError as error:
        os.close(descriptor)
        hint = "if it is there already: clear removes what is left of an impairment"
        raise LabError(
            f"cannot make the device {name} for the delay line: {error.strerror}", hint=hint
        ) from error
    return descriptor


def _set_offloads(descriptor: int, offloads: bool) -> None:
    if not offloads:
        fcntl.ioctl(descriptor, TUNSETOFFLOAD, 0)
        return
    try:
        fcntl.ioctl(descriptor, TUNSETOFFLOAD, SUPER_PACKETS | SUPER_DATAGRAMS)
    except OSError:  # an older kernel
        fcntl.ioctl(descriptor, TUNSETOFFLOAD, SUPER_PACKETS)


def holders() -> dict[str, Held]:
    """The processes that hold tap devices of this network namespace, by device."""
    here = Path("/proc/self/ns/net").stat().st_ino
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):  # it has ended
            if (folder / "ns" / "net").stat().st_ino != here:
                continue
            for descriptor in (folder / "fd").iterdir():
                if str(descriptor.readlink()) == DEVICE and (name := _device(folder, descriptor.name)):
                    state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0].decode()
                    found[name] = Held(int(folder.name), state)
    return found


def _device(process: Path, descriptor: str) -> str:
    """The tap of a descriptor: tun_chr_show_fdinfo of drivers/net/tun.c."""
    found = re.search(r"^iff:\s*(\S+)$", (process / "fdinfo" / descriptor).read_text(), re.MULTILINE)
    return found[1] if found else ""
