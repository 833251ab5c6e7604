"""Backends without a tunnel: pods' packets cross the machines' network as they are."""

from lab.backends.model import Backend, Forms, Overlay, routes_by_the_underlay

__all__ = ["ALLOC", "EXTENSION", "HOST_GW"]


def _by_machine(overlay: Overlay) -> Forms:
    return Forms(lease={"BackendType": "host-gw"}, routes=routes_by_the_underlay(overlay.peers))


def _subnets_alone(_overlay: Overlay) -> Forms:
    return Forms(lease={}, routes=frozenset())


HOST_GW = Backend(
    name="host-gw",
    hops=2,  # one for each machine's kernel, which forwards the packet
    bare=True,
    on_link=True,
    forms=_by_machine,
)

ALLOC = Backend(name="alloc", bare=True, delivers=False, forms=_subnets_alone)
"""Its purpose is that somebody else carries the packets."""

EXTENSION = Backend(name="extension", bare=True)
"""Commands of one's own, of which nobody here knows what they do."""
