"""`vxlan`: the kernel's VXLAN device, and the tables that tell it where each peer is."""

from lab.backends.model import (
    Backend,
    BackendConfig,
    Forms,
    Overlay,
    route_of_the_kernel,
    routes_by_the_underlay,
    through_tunnel,
)

__all__ = ["VXLAN"]


def _device(config: BackendConfig, family: int) -> str:
    return f"flannel{'-v6' if family == 6 else ''}.{config.vni}"


def _forms(overlay: Overlay) -> Forms:
    device, lease = _device(overlay.config, overlay.family), _lease(overlay)
    through = through_tunnel(overlay)
    fdb = frozenset(f"{peer.mac} {peer.address}" for peer in through)
    if not overlay.dialect.vxlan_static:
        routes = route_of_the_kernel(device, overlay)
        return Forms(lease, routes, address_length=overlay.network.prefixlen, fdb=fdb)
    routes = frozenset(
        f"{peer.subnet} via {peer.subnet.network_address} dev {device} onlink" for peer in through
    )
    if overlay.config.direct_routing:
        routes |= routes_by_the_underlay(overlay.peers)
    neighbours = frozenset(f"{peer.subnet.network_address} {peer.mac}" for peer in through)
    return Forms(lease, routes, neighbours=neighbours, fdb=fdb)


def _lease(overlay: Overlay) -> dict[str, object] | None:
    if overlay.own.mac is None:
        return None  # without the machine's devices nobody can say which MAC its lease must have
    vni = {"VNI": overlay.config.vni} if overlay.dialect.vni else {}
    mac = overlay.own.mac or f"that of {_device(overlay.config, overlay.family)}"
    return {"BackendType": "vxlan", "BackendData": {**vni, "VtepMAC": mac}}


VXLAN = Backend(
    name="vxlan",
    overhead=20 + 8 + 8 + 14,  # IPv4, UDP, VXLAN, and the inner Ethernet header
    longer=20,  # IPv6's header has 40
    takes_mtu=True,
    passes_nat=True,
    port=8472,
    hops=2,  # one for each machine's kernel, which forwards the packet
    device=_device,
    forms=_forms,
)
