"""The inlet: a vxlan device that packets of the fast path come in by, to lose the mark of encapsulation.

See docs/adr/0009-what-decapsulation-leaves-behind.md. It takes only what the program at the underlay has
given it; what a network sends to its port is dropped by the program at the device. It stands upon the TUN
device, so it ends with that one, however the process ends.
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
    """The inlet beside a TUN device: `flannel0-in`."""
    return tun[: LONGEST_NAME - len(ENDING)] + ENDING


def open_inlet(tun: str, guard: Callable[[int], None]) -> tuple[int, Callable[[], None]]:
    """Make the inlet; its UDP port, and what takes it away.

    `guard` gets its index while it is down, to attach the program to it. Raises OSError, and what `guard`
    raises; then there is none.
    """
    name, port = name_of(tun), _free_port()
    with ExitStack() as made:
        index = links.make_external_vxlan(name, tun, port)
        made.callback(links.delete_link, name)
        guard(index)
        links.set_up(index)  # only now its port is open
        return port, made.pop_all().close


def _free_port() -> int:
    """A port that nobody has. Packets do not name it, the program finds the socket by it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as taken:
        taken.bind(("", 0))
        port: int = taken.getsockname()[1]
    return port
