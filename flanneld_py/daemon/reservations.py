"""What two networks of one flanneld (-networks) cannot both have: devices, and UDP ports."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flanneld_py.backend import device_names
from flanneld_py.config.model import Ipip, NetworkConfig, Udp, Vxlan, Wireguard
from flanneld_py.errors import Exit, Fatal
from flanneld_py.kernel.links import VXLAN_PORT

__all__ = ["Reservation", "Reservations", "reserved_by"]

ITS_PORT: Final = "give each network its own Backend.Port"
ITS_VNI: Final = "give each network its own Backend.VNI"
ITS_LISTEN_PORT: Final = "give each network its own Backend.ListenPort"
ONE: Final = "only one network of a machine can have the backend {}; give the others vxlan, each with its VNI"


@dataclass(frozen=True, slots=True)
class Reservation:
    """`what` a network needs for itself, in words, and the `remedy` where another has it.

    Networks whose needs are equal in `sharing` may have it together, unless that is empty.
    """

    what: str
    remedy: str
    sharing: str = ""


def reserved_by(network: NetworkConfig) -> tuple[Reservation, ...]:
    """What the network's backend needs. The TUN device of udp is any that is free."""
    return tuple(_needs(network))


def _needs(network: NetworkConfig) -> Iterator[Reservation]:
    versions = [network.version for network in network.overlay.networks]
    match network.backend:
        case Udp(port):
            yield Reservation(f"UDP port {port}", ITS_PORT)
        case Vxlan(vni=vni, port=port, gbp=gbp):
            for version in versions:
                yield Reservation(f"The device {device_names.vxlan(vni, version)}", ITS_VNI)
            # The kernel tells networks of one port apart by their VNI (vxlan_find_sock of drivers/net/vxlan).
            yield Reservation(f"UDP port {port or VXLAN_PORT}", ITS_PORT, f"vxlan, GBP {gbp}")
        case Ipip():
            yield Reservation(f"The device {device_names.IPIP}", ONE.format("ipip"))
        case Wireguard() as wireguard:
            for version in versions:
                other = wireguard.mode == "separate" and version == 6
                name = device_names.WIREGUARD_V6 if other else device_names.WIREGUARD
                port = wireguard.listen_port_v6 if other else wireguard.listen_port
                yield Reservation(f"The device {name}", ONE.format("wireguard"))
                yield Reservation(f"UDP port {port}", ITS_LISTEN_PORT)


class Reservations:
    """Which network has what. For any thread."""

    def __init__(self) -> None:
        self._held: dict[str, Sequence[Reservation]] = {}
        self._lock = threading.Lock()

    def take(self, network: str, wanted: Sequence[Reservation]) -> None:
        """Have all of it, instead of what this network had. Raises `Fatal` where another has some of it."""
        with self._lock:
            for holder, held in self._held.items():
                for need in wanted if holder != network else ():
                    if any(_clash(need, other) for other in held):
                        raise Fatal(
                            f"{need.what} carries the network {holder} of this flanneld already: "
                            f"{need.remedy}",
                            code=Exit.CONFIG,
                        )
            self._held[network] = wanted


def _clash(one: Reservation, other: Reservation) -> bool:
    return one.what == other.what and not (one.sharing and one.sharing == other.sharing)
