"""The external interface while the daemon runs: is it still the one that we began with?

Asked every few seconds, so by ioctl and bind alone, which take microseconds (netdevice(7)).
"""

import errno
import fcntl
import socket
import struct
from dataclasses import dataclass
from typing import Final

from flanneld_py.clock import now
from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Interface
from flanneld_py.subnet import Address, Subnet

__all__ = ["Device", "Underlay", "device"]

# linux/sockios.h
SIOCGIFFLAGS: Final = 0x8913
SIOCGIFHWADDR: Final = 0x8927

IFF_UP: Final = 0x1  # linux/if.h
ARPHRD_ETHER: Final = 1  # linux/if_arp.h

PATIENCE: Final = 5.0
"""Seconds that an address may be gone; a DHCP client takes it away for a moment at times."""


@dataclass(frozen=True, slots=True)
class Device:
    """A network device of this machine; `mac` is empty where it is no Ethernet device."""

    index: int
    up: bool
    mac: str


def device(name: str) -> Device | None:
    """The device of this name, if there is one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            index = socket.if_nametoindex(name)
            (flags,) = struct.unpack_from("=H", _ask(sock, SIOCGIFFLAGS, name), 16)
            kind, mac = struct.unpack_from("=H6s", _ask(sock, SIOCGIFHWADDR, name), 16)
        except OSError:  # ENODEV: it went while we looked, at the latest
            return None
    return Device(index, bool(flags & IFF_UP), mac.hex(":") if kind == ARPHRD_ETHER else "")


def _ask(sock: socket.socket, request: int, name: str) -> bytes:
    return fcntl.ioctl(sock, request, struct.pack("=16s24x", name.encode()))  # struct ifreq of linux/if.h


class Underlay:
    """The external interface, with those of its addresses that peers or devices of ours depend on."""

    def __init__(self, interface: Interface, overlay: Subnet) -> None:
        self.interface = interface
        wanted = (interface.ipv4 if overlay.ipv4 else None, interface.ipv6 if overlay.ipv6 else None)
        self._addresses: tuple[Address, ...] = tuple(address for address in wanted if address is not None)
        self._missed_at: float | None = None

    def trouble(self) -> str:
        """Why nothing can work until the daemon has looked for its interface again; "" if all is well."""
        name = self.interface.name
        found = device(name)
        if found is None:
            return f"The interface {name} is gone"
        if found.index != self.interface.index:
            return f"The interface {name} is another one than it was"
        missing = next((address for address in self._addresses if not _is_local(address)), None)
        if missing is None:
            self._missed_at = None
            return ""
        if self._missed_at is None:
            self._missed_at = now()
        return f"{name} has lost the address {missing}" if now() - self._missed_at > PATIENCE else ""

    def require(self) -> None:
        """Raise `Fatal` if there is trouble."""
        if trouble := self.trouble():
            raise Fatal(
                f"{trouble}, and peers are told to reach us by it. Start flanneld again: it waits for an "
                "interface and announces the new address",
                code=Exit.INTERFACE,
            )


def _is_local(address: Address) -> bool:
    """Whether this machine has the address. Always, where net.ipv4.ip_nonlocal_bind is set."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((str(address), 0))
        except OSError as error:
            # A link-local IPv6 address cannot be bound without naming the interface; it is there, then.
            return error.errno != errno.EADDRNOTAVAIL
    return True
