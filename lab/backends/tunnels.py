"""Backends with a tunnel of the kernel's that needs a route for each peer and no other table."""

from lab.backends.model import Backend, BackendConfig, Forms, Overlay, routes_by_the_underlay, through_tunnel

__all__ = ["IPIP", "WIREGUARD"]


def _wireguard_device(config: BackendConfig, family: int) -> str:
    return "flannel-wg-v6" if family == 6 and config.mode == "separate" else "flannel-wg"


def _wireguard(overlay: Overlay) -> Forms:
    """Which key a machine's lease must have, nothing that `ip` shows of the device says."""
    device = _wireguard_device(overlay.config, overlay.family)
    there = (
        [peer.subnet for peer in overlay.peers] if overlay.dialect.wireguard_by_peer else [overlay.network]
    )
    # `ip -6 route` names no scope.
    scope = " scope link" if overlay.family == 4 else ""
    return Forms(lease=None, routes=frozenset(f"{network} dev {device}{scope}" for network in there))


def _ipip_device(_config: BackendConfig, _family: int) -> str:
    return "flannel.ipip"


def _ipip(overlay: Overlay) -> Forms:
    device = _ipip_device(overlay.config, overlay.family)
    through = through_tunnel(overlay)
    routes = frozenset(f"{peer.subnet} via {peer.address} dev {device} onlink" for peer in through)
    if overlay.config.direct_routing:
        onlink = " onlink" if overlay.dialect.ipip_always_onlink else ""
        routes |= {f"{route}{onlink}" for route in routes_by_the_underlay(overlay.peers)}
    return Forms(lease={"BackendType": "ipip"}, routes=routes)


WIREGUARD = Backend(
    name="wireguard",
    overhead=40 + 8 + 32,  # as flannel reckons: IPv6, UDP, WireGuard
    takes_mtu=True,
    passes_nat=True,
    port=51820,
    hops=2,  # one for each machine's kernel, which forwards the packet
    device=_wireguard_device,
    forms=_wireguard,
)

IPIP = Backend(
    name="ipip",
    overhead=20,  # IPv4
    ipv6=False,
    hops=2,  # one for each machine's kernel, which forwards the packet
    device=_ipip_device,
    forms=_ipip,
)
