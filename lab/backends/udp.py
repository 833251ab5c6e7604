"""`udp`: a TUN device, and a daemon that carries each packet in a datagram."""

from lab.backends.model import Backend, BackendConfig, Forms, Overlay, route_of_the_kernel

__all__ = ["UDP"]


def _device(_config: BackendConfig, _family: int) -> str:
    return "flannel0"


def _forms(overlay: Overlay) -> Forms:
    device = _device(overlay.config, overlay.family)
    if overlay.dialect.udp_network:
        routes = route_of_the_kernel(device, overlay)
        return Forms(lease={}, routes=routes, address_length=overlay.network.prefixlen)
    return Forms(lease={}, routes=frozenset({f"{overlay.network} dev {device}"}))


UDP = Backend(
    name="udp",
    overhead=20 + 8,  # IPv4 and UDP
    ipv6=False,
    passes_nat=True,
    port=8285,
    hops=4,  # one for each machine's kernel, which forwards the packet, and one for each machine's flanneld
    device=_device,
    queue=500,  # TUN_READQ_SIZE in the kernel's drivers/net/tun.c, as the tutorial shows it
    forms=_forms,
)
