"""What a network's configuration says of the udp backend, and the options that it takes. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from flanneld_py.config.backend import BackendConfig, OwnDevices, Reservation
from flanneld_py.config.keys import HIGHEST_PORT, integer

__all__ = ["Udp", "UdpOptions"]


@dataclass(frozen=True, slots=True)
class Udp(BackendConfig):
    """`Port` is the same on every node: it is in no lease."""

    type: ClassVar[str] = "udp"
    is_default: ClassVar[bool] = True
    carries_ipv6: ClassVar[bool] = False
    routes_whole_network: ClassVar[bool] = True
    compares_entries: ClassVar[bool] = False
    devices: ClassVar[tuple[OwnDevices, ...]] = (
        OwnDevices("tun", re.compile(r"flannel[0-9]+"), leaves=False),
    )

    port: int = integer("Port", 8285, 1, HIGHEST_PORT)

    def reservations(self, versions: Sequence[int]) -> Iterator[Reservation]:  # noqa: ARG002 (IPv4 alone)
        """See `BackendConfig`. The TUN device is any that is free."""
        yield Reservation.udp_port(self.port, "Backend.Port")


@dataclass(frozen=True, slots=True)
class UdpOptions:
    """See `Options`."""

    udp_fast_path: str = "auto"
    udp_offloads: str = "auto"
    udp_source_check: bool = True
