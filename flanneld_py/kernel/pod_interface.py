"""Finds the interface that leads to this machine's containers: Docker's bridge, or a CNI's."""

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address

from flanneld_py.kernel.channel import Channel
from flanneld_py.kernel.limits import FLANNEL
from flanneld_py.kernel.lookup import lookup
from flanneld_py.subnet import Network

__all__ = ["pod_interface"]


def pod_interface(own: Network, under: int) -> int | None:
    """Return the index of the interface on whose link our own subnet is, or None while there is none.

    `under` is the index of the external interface, which never is one. Raises `OSError` if the kernel cannot
    be asked.
    """
    # Its last container address: the first one is the bridge's own.
    last = int(own.broadcast_address) - 1
    with Channel() as channel:
        match = lookup(channel, IPv4Address(last) if own.version == 4 else IPv6Address(last))
    if match is None or match.gateway is not None or match.device == under:
        return None
    if match.destination.prefixlen < own.prefixlen:
        return None
    name = ""
    with suppress(OSError):
        name = socket.if_indextoname(match.device)
    return match.device if name and not name.startswith(FLANNEL) else None
