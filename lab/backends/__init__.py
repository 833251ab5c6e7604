"""What the lab knows of flannel's backends, each in one object: overhead, devices, hops, routes. Pure.

The checks expect it, the plan and the reports ask for it. A backend is one module here and one line below.
"""

from collections.abc import Mapping

from lab.backends.direct import ALLOC, EXTENSION, HOST_GW
from lab.backends.model import Backend, BackendConfig, Expected, Member, Overlay, Peer, Side
from lab.backends.tunnels import IPIP, WIREGUARD
from lab.backends.udp import UDP
from lab.backends.vxlan import VXLAN

__all__ = ["BACKENDS", "Backend", "BackendConfig", "Expected", "Member", "Overlay", "Peer", "Side", "backend"]

BACKENDS: Mapping[str, Backend] = {
    known.name: known for known in (UDP, VXLAN, HOST_GW, ALLOC, EXTENSION, WIREGUARD, IPIP)
}
"""Those that `flanneld_py` has, by the name that flannel's configuration has for them."""


def backend(name: str) -> Backend:
    """The backend of that name; of one that nobody here knows, nothing but the name is known."""
    return BACKENDS.get(name) or Backend(name)
