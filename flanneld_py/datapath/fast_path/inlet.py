"""The inlet: a vxlan device through which received packets pass to lose their encapsulation mark.

See docs/adr/0009-what-decapsulation-leaves-behind.md. It accepts only what the program at the underlay hands
it; what arrives at its port from a network is dropped by the program attached to it. It is stacked on the TUN
device, so it disappears together with that, however the process ends.
"""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

from flanneld_py.kernel import links
from flanneld_py.kernel.limits import LONGEST_NAME

__all__ = ["name_of", "open_inlet"]

ENDING: Final = "-in"


def name_of(tun: str) -> str:
    """Name of the inlet for a TUN device: `flannel0-in`."""
    return tun[: LONGEST_NAME - len(ENDING)] + ENDING


def open_inlet(tun: str, guard: Callable[[int], None]) -> tuple[int, Callable[[], None]]:
    """Create the inlet; return its UDP port and a function that deletes it.

    `guard` is called with the index while the device is down, to attach the program to it. Raises OSError and
    whatever `guard` raises; then no inlet is left.
    """
    name, port = name_of(tun), _free_port()
    with ExitStack() as made:
        index = links.make_external_vxlan(name, tun, port)
        made.callback(links.delete_link, name)
        guard(index)
        links.set_up(index)  # only this opens its port
        return port, made.pop_all().close


def _free_port() -> int:
    """Find an unused UDP port. No packet is sent to it; the program looks up the inlet's socket by it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as taken:
        taken.bind(("", 0))
        port: int = taken.getsockname()[1]
    return port
