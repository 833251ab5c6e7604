"""What a network's configuration says of the ipip backend. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from flanneld_py.config.backend import BackendConfig, OwnDevices, Reservation
from flanneld_py.config.keys import boolean

__all__ = ["DEVICE", "Ipip"]

DEVICE: Final = "flannel.ipip"
"""As flannel calls its own; tunl0, which the kernel makes, may be another's."""


@dataclass(frozen=True, slots=True)
class Ipip(BackendConfig):
    """`direct_routing`: plain routes to nodes on our own link."""

    type: ClassVar[str] = "ipip"
    carries_ipv6: ClassVar[bool] = False
    devices: ClassVar[tuple[OwnDevices, ...]] = (OwnDevices("ipip", re.compile(re.escape(DEVICE))),)

    direct_routing: bool = boolean("DirectRouting")

    def reservations(self, versions: Sequence[int]) -> Iterator[Reservation]:  # noqa: ARG002 (IPv4 alone)
        """See `BackendConfig`."""
        yield Reservation.only_device(DEVICE, self.type)
