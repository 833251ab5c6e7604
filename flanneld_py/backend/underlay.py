"""The external interface while the daemon runs: is it still the one that we began with?

Asked every few seconds, so by what takes microseconds.
"""

from typing import Final

from flanneld_py.clock import now
from flanneld_py.errors import Exit, Fatal
from flanneld_py.interface import Interface
from flanneld_py.kernel.interfaces import is_held
from flanneld_py.kernel.links import link
from flanneld_py.subnet import Address, Subnet

__all__ = ["Underlay"]

PATIENCE: Final = 5.0
"""Seconds that an address may be gone; a DHCP client takes it away for a moment at times."""


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
        found = link(name)
        if found is None:
            return f"The interface {name} is gone"
        if found.index != self.interface.index:
            return f"The interface {name} is another one than it was"
        if not found.up:  # the kernel takes IPv6 addresses away meanwhile, and what set them sets them again
            self._missed_at = None
            return ""
        missing = next((address for address in self._addresses if not is_held(address)), None)
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
