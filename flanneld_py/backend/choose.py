"""The backend that a network's configuration asks for; its module is imported only then."""

from collections.abc import Callable

from flanneld_py.backend import Backend
from flanneld_py.config.model import Alloc, Extension, HostGw, Ipip, NetworkConfig, Udp, Vxlan, Wireguard
from flanneld_py.lease.validation import ProtectedAddresses
from flanneld_py.options import Options
from flanneld_py.subnet import Addresses
from flanneld_py.underlay.interface import Interface

__all__ = ["open_backend"]


def open_backend(
    network: NetworkConfig,
    interface: Interface,
    public: Addresses,
    options: Options,
    *,
    udp_device: str = "flannel0",
    needs: Callable[[], ProtectedAddresses] = ProtectedAddresses,
) -> Backend:
    """Make it; `needs` as in `Daemon`. Raises `Fatal` where this machine cannot have it."""
    match network.backend:
        case Udp() as udp:
            from flanneld_py.backend.udp import UdpBackend

            return UdpBackend(network, udp, interface, public, options, device=udp_device, needs=needs)
        case Vxlan() as vxlan:
            from flanneld_py.backend.vxlan import VxlanBackend

            made = VxlanBackend(
                network, vxlan, interface, public,
                tx_checksum=options.vxlan_tx_checksum, source_check=options.vxlan_source_check,
            )  # fmt: skip
            made.try_out()
            return made
        case HostGw() as host_gw:
            from flanneld_py.backend.host_gw import HostGwBackend

            return HostGwBackend(network, host_gw, interface, public)
        case Ipip() as ipip:
            from flanneld_py.backend.ipip import IpipBackend

            return IpipBackend(network, ipip, interface, public)
        case Alloc() as alloc:
            from flanneld_py.backend.alloc import AllocBackend

            return AllocBackend(network, alloc, interface, public)
        case Extension() as extension:
            from flanneld_py.backend.extension import ExtensionBackend

            return ExtensionBackend(network, extension, interface, public)
        case Wireguard() as wireguard:
            from flanneld_py.backend.wireguard import WireguardBackend

            return WireguardBackend(network, wireguard, interface, public)
